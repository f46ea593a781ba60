from __future__ import annotations

from pathlib import Path

import pytest
from bench.stubs import StubJudge
from judges.toys import saved_clip

from turpentine.bench import Erasure, erasure_judges, run_erasure
from turpentine.bench.erasure_judges import cases_for, default_judge, measures_for, why_no_pairs, zero_shot_judge
from turpentine.bench.metrics import Measure
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.erase.uce import UCE
from turpentine.judges import EmojiJudge, PictureStatistics
from turpentine.judges.base import Column
from turpentine.judges.features import Features
from turpentine.judges.pixel_change import PixelChange
from turpentine.judges.worlds import world_of_model
from turpentine.models import Model, load
from turpentine.tasks.cases import Case

VAN_GOGH = Concept("Van Gogh", "artist", keep=("Monet",))


def test_the_embedded_model_has_its_own_judge() -> None:
    model = load()
    assert world_of_model(model) == "emoji"
    assert isinstance(default_judge(model, [Concept("church")]), EmojiJudge)


def test_another_model_has_clip_where_its_weights_are_here_and_nobody_where_not(
    sd1: Model, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_judges, "CLIP", "nobody/has-this-clip")
    assert default_judge(sd1, [VAN_GOGH]) is None
    monkeypatch.setattr(erasure_judges, "CLIP", saved_clip(tmp_path_factory.mktemp("clip")))
    judge = default_judge(sd1, [VAN_GOGH])
    assert judge is not None
    assert judge.name == "zero-shot"


def test_clip_holds_the_concept_against_its_neighbours_and_its_anchor() -> None:
    labels = zero_shot_judge([VAN_GOGH]).descriptions
    assert list(labels)[:2] == ["Van Gogh", "Monet"]
    assert "Pablo Picasso" in labels
    assert "Claude Monet" not in labels  # it is the one that is kept
    assert list(labels)[-1] == "a painting"


def test_cases_have_the_truth_that_the_judges_can_give(sd1: Model) -> None:
    cases = cases_for(sd1, [VAN_GOGH], [zero_shot_judge([VAN_GOGH])])
    truth = {(case.group, case.label): (case.attribute, case.expected) for case in cases}
    assert truth["erased", "Van Gogh"] == ("subject", "Van Gogh")
    assert truth["neighbour", "Monet"] == ("subject", "Monet")
    assert truth["other", "Rembrandt"] == ("subject", "Rembrandt")
    assert truth["object", "church"] == (None, None)
    assert {case.attribute for case in cases_for(sd1, [VAN_GOGH], [PictureStatistics()])} == {None}


class NamesTwo(StubJudge):
    """Knows five things, and sees two in each picture."""

    columns = dict.fromkeys(("thing", "thing_also"), Column(labels=("church", "dog", "horn", "fish", "saw")))


def pairs_of(cases: list[Case]) -> list[tuple[str, str | None, str | None, str | None]]:
    return [(case.prompt, case.attribute, case.expected, case.also) for case in cases if case.group == "pair"]


def test_two_objects_are_asked_for_where_a_judge_names_two_things_and_elsewhere_a_sentence_says_why_not(
    sd1: Model,
) -> None:
    church = [Concept("church")]
    cases = cases_for(sd1, church, [NamesTwo()], with_pairs=True)
    assert pairs_of(cases) == [
        ("a saw and a horn", "thing", "saw", "horn"),
        ("a dog and a fish", "thing", "dog", "fish"),
    ]
    assert why_no_pairs(cases) == ""
    assert pairs_of(cases_for(sd1, church, [NamesTwo()])) == []
    for model, judge in ((sd1, zero_shot_judge(church)), (load(), zero_shot_judge(church, model="emoji"))):
        cases = cases_for(model, church, [judge], with_pairs=True)
        assert cases == cases_for(model, church, [judge]) and "no judge here can name both" in why_no_pairs(cases)
    assert why_no_pairs(cases_for(sd1, church, [PictureStatistics()], with_pairs=True)) == ""
    assert len(pairs_of(cases_for(load(), [Concept("noto", "style")], [EmojiJudge()], with_pairs=True))) == 5


def test_what_is_counted_is_hits_moved_pixels_and_what_is_asked_for() -> None:
    judges = [StubJudge(), Features(), PictureStatistics(), PixelChange()]
    fid = Measure.parse("fid of features")
    assert [str(one) for one in measures_for(judges, [fid, fid])] == ["rate of hit", "mean of moved", "fid of features"]
    with pytest.raises(UnknownName, match="smell"):
        measures_for(judges, [Measure.parse("mean of smell")])


def test_a_judges_column_that_every_table_has_already_is_refused(
    sd1: Model, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    clip = saved_clip(tmp_path_factory.mktemp("clip"))
    judge = zero_shot_judge([VAN_GOGH], model=str(clip), column="concept")
    with pytest.raises(BadArgument, match="a column concept, which every table of results has already"):
        run_erasure(sd1, Erasure(VAN_GOGH, UCE(), judges=[judge]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
