"""Judges by name; what is true of each is in `contract/test_judges.py`."""

from __future__ import annotations

import pytest
from judges.toys import pictures

from turpentine.core.errors import ModelNotFound, UnknownName
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
