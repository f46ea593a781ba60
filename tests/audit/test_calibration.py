"""How often a judge is right: on rendered pictures, and by the file of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from turpentine.attack.harness import concept_judge
from turpentine.audit.calibration import calibrated, read_calibration
from turpentine.audit.second import second_judge
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.judges import EmojiJudge
from turpentine.stats.intervals import Rate
from turpentine.tasks.erasure_cases import named_concept
from turpentine.testing.contracts.attack import CoinJudge

GOOD: Mapping[str, Any] = {
    **{"schema": 1, "judge": "emoji", "concept": "church", "plan": "0123abcd"},
    **{"sensitivity": [88, 100], "specificity": [196, 200]},
}


@pytest.mark.parametrize("text", ["church", "ink style", "red background"])
def test_two_families_of_judges_are_right_on_rendered_pictures(text: str) -> None:
    concept = named_concept(text)
    first = concept_judge(EmojiJudge(), concept)
    second = second_judge(concept, first.judge, is_world=True)
    assert second is not None and second.judge.name == "zero-shot"
    for judge in (first, second):
        calibration = calibrated(judge, concept, 40)
        assert calibration is not None and calibration.error.youden > 0.9
        assert calibration.source == "40 rendered pictures with it and 40 without"


class NoChurch(CoinJudge):
    """Sees a dog in everything."""

    def __call__(self, images: Sequence[Image.Image], **beside: Any) -> pl.DataFrame:
        return pl.DataFrame({"object": ["dog"] * len(images)})


def test_a_judge_that_sees_nothing_is_refused_and_what_has_few_pictures_is_not_counted() -> None:
    artist = Concept("lumen", "artist")
    assert calibrated(concept_judge(EmojiJudge(), artist), artist) is None
    with pytest.raises(BadArgument, match="no better than chance"):
        calibrated(concept_judge(NoChurch(), Concept("church")), Concept("church"), 10)


def test_a_study_s_rates_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(GOOD))
    calibration = read_calibration(path, concept_judge(EmojiJudge(), Concept("church")), Concept("church"))
    assert (calibration.error.sensitivity, calibration.error.specificity) == (Rate(88, 100), Rate(196, 200))
    assert calibration.numbers() == {
        "sensitivity": [88, 100],
        "specificity": [196, 200],
        "source": "people, by the plan 0123abcd",
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": 2}, "schema 1"),
        ({"judge": "clip"}, "is of the judge 'clip', and the audit of 'emoji'"),
        ({"concept": "dog"}, "is of the concept 'dog', and the audit of 'church'"),
        ({"plan": ""}, "does not say which plan"),
        ({"sensitivity": [3, 2]}, r"sensitivity is \[3, 2\]"),
        ({"sensitivity": [0, 0]}, r"sensitivity is \[0, 0\]"),
        ({"specificity": 0.9}, r"specificity is 0\.9, and is to be \[hits, n\]"),
        ({"specificity": [True, 2]}, "specificity is"),
        ({"sensitivity": [1, 100]}, "no better than chance"),
    ],
)
def test_rates_that_are_none_or_of_something_else_are_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(BadArgument, match=why):
        read_calibration(path, concept_judge(EmojiJudge(), Concept("church")), Concept("church"))


@pytest.mark.parametrize("content", ["", "[]", "{", "\\xff"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rates.json"
    path.write_text(content)
    for file in (path, tmp_path / "missing.json"):
        with pytest.raises(BadArgument, match=r"rates\.json|missing\.json"):
            read_calibration(file, concept_judge(EmojiJudge(), Concept("church")), Concept("church"))
