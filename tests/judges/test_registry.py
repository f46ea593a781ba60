"""Judges by name; what is true of each is in `contract/test_judges.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from judges.toys import CLASSES, pictures, saved_classifier, saved_clip

from turpentine.core.errors import BadArgument, ModelNotFound, UnknownName
from turpentine.judges import Judge, judge


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


def test_the_place_of_a_network_is_a_judge(tmp_path: Path) -> None:
    clip, classifier = saved_clip(tmp_path / "clip"), saved_classifier(tmp_path / "classifier")
    assert judge(clip).name == "clip" and judge(clip).settings == judge("clip", model=clip).settings
    named = judge(classifier)(pictures(4))["class"].to_list()
    assert named == judge("classifier", model=classifier, labels=())(pictures(4))["class"].to_list()
    assert set(named) <= {first for name in CLASSES for first in name.split(", ")}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(BadArgument, match="other holds GPT2LMHeadModel: a judge is a CLIP model or a classifier"):
        judge(str(tmp_path / "other"))
    with pytest.raises(ModelNotFound, match="'nobody/knows-it' is neither a folder here nor to be had from the hub"):
        judge("nobody/knows-it")
