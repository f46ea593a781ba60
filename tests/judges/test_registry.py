"""What is true of every judge."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import polars as pl
import pytest
from judges.toys import pictures

from turpentine.core.errors import BadArgument, ModelNotFound, UnknownName
from turpentine.judges import Judge, judge, names


def settings_of(name: str, classifier: str) -> dict[str, Any]:
    if name == "nudenet" and find_spec("nudenet") is None:
        pytest.skip("NudeNet is not installed")
    return {"model": classifier, "labels": ["church"]} if name == "classifier" else {}


@pytest.mark.parametrize("name", names())
def test_a_judge_says_what_it_gives_and_gives_that(name: str, classifier: str) -> None:
    made, shown = judge(name, **settings_of(name, classifier)), pictures(2)
    assert isinstance(made, Judge) and made.name == name
    rows = made(shown, prompts=["a dog", "a red cat"], references=shown[::-1])
    assert rows.columns == list(made.columns) and len(rows) == 2
    assert made([]).schema == rows.schema
    assert made.download is None
    for column, about in made.columns.items():
        assert about.is_number == rows[column].dtype.is_numeric()
        if about.low is not None and about.high is not None:
            assert rows[column].is_between(about.low, about.high).all()


@pytest.mark.parametrize("name", names())
def test_two_of_one_kind_are_one_judge(name: str, classifier: str) -> None:
    one, other = (judge(name, **settings_of(name, classifier)) for _ in range(2))
    assert (one.revision, one.settings) == (other.revision, other.settings)
    assert json.loads(json.dumps(dict(one.settings))) == one.settings
    asked = {"prompts": ["a dog"] * 3, "references": pictures(3, seed=1)}
    assert one(pictures(3), **asked).equals(other(pictures(3), **asked))


@pytest.mark.parametrize("name", names())
def test_what_a_judge_needs_must_be_there_for_each_picture(name: str, classifier: str) -> None:
    made = judge(name, **settings_of(name, classifier))
    told: dict[str, Any] = {"prompt": ("prompts", ["a dog"]), "reference": ("references", pictures(1))}
    for need in made.needs:
        others = dict(told[other] for other in made.needs if other != need)
        with pytest.raises(BadArgument, match=f"needs a {need}"):
            made(pictures(2), **others)
        with pytest.raises(BadArgument, match="and has 1"):
            made(pictures(2), **dict([told[need]]))
    assert isinstance(made([]), pl.DataFrame)


def test_unknown_names_and_settings_get_the_nearest_ones() -> None:
    with pytest.raises(UnknownName, match="No judge is called 'nudnet': did you mean 'nudenet'"):
        judge("nudnet")
    with pytest.raises(UnknownName, match="clip has no setting 'modell': did you mean 'model'"):
        judge("clip", modell="emoji")


def test_judges_that_stand_side_by_side_have_columns_of_their_own() -> None:
    made = judge("features", network="emoji judge", column="seen")
    assert list(made.columns) == made(pictures(1)).columns == ["seen"]


def test_what_must_be_fetched_is_said_with_its_size_and_nothing_is_fetched_before() -> None:
    made = judge("classifier")
    assert isinstance(made, Judge)
    assert made.download == "microsoft/resnet-50 from the Hugging Face hub (102 MB)"
    assert "605 MB" in str(judge("clip", model="openai/clip-vit-base-patch32").download)
    assert "not known" in str(judge("distance", network="clip", model="someone/clip").download)
    with pytest.raises(ModelNotFound, match="'/nowhere/at all' is neither a folder"):
        _ = judge("classifier", model="/nowhere/at all").download
