"""Which column of a judge tells of a concept, however that is put, which label that is, and which pictures are hits."""

from __future__ import annotations

import polars as pl
import pytest
from judges.toys import pictures

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.judges import EmojiJudge, judge
from turpentine.judges.base import LABEL, hits, label_of, sought


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("church", ("object", "church")),
        ("a Church", ("object", "church")),
        ("an owl", ("object", "owl")),
        ("gas pump", ("object", "gas pump")),
        ("noto style", ("style", "noto")),
        ("blue background", ("colour", "blue")),
        ("by lumen", ("artist", "lumen")),
        ("dog house", None),  # neither a dog nor a house
        ("spoon", None),
    ],
)
def test_labels_by_the_words_that_name_them(text: str, known: tuple[str, str] | None) -> None:
    assert sought(EmojiJudge(), text) == known


def test_a_score_of_prompts_knows_every_text() -> None:
    assert sought(judge("clip"), "dog house") == ("clip", "dog house")
    assert sought(judge("picture statistics"), "dog house") is None


@pytest.mark.parametrize(
    ("column", "text", "label"),
    [
        ("object", "A Church", "church"),
        ("style", "noto style", "noto"),
        ("style", "noto", "noto"),
        ("second", "an owl", "owl"),
        ("object", "none", "none"),
    ],
)
def test_a_label_by_the_words_that_name_it_in_one_column(column: str, text: str, label: str) -> None:
    assert label_of(EmojiJudge(), column, text) == label


@pytest.mark.parametrize(
    ("column", "text", "error", "told"),
    [
        ("object", "churhc", BadArgument, "emoji never says 'churhc' in object: did you mean 'church'"),
        ("style", "church", BadArgument, "emoji never says 'church' in style: there are "),
        ("object_p", "church", BadArgument, "emoji's object_p is no label"),
        ("taste", "church", UnknownName, "emoji has no column 'taste'"),
    ],
)
def test_what_is_no_label_is_told(column: str, text: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        label_of(EmojiJudge(), column, text)


class Said:
    """A judge that says what it was made with, and remembers what it was told."""

    name, revision, settings, needs, download = "said", "1", None, frozenset(), None

    def __init__(self, **said: list) -> None:
        self.said, self.columns, self.told = pl.DataFrame(said), dict.fromkeys(said, LABEL), None

    def __call__(self, images, *, prompts=None, references=None) -> pl.DataFrame:
        self.told = prompts
        return self.said[: len(images)]


def test_labels_that_are_not_known_may_be_any_text_but_nothing_else() -> None:
    judged = Said(thing=["dog"], thumbnail=[b"0"])
    assert label_of(judged, "thing", "Dog house") == "Dog house"
    with pytest.raises(BadArgument, match="said's thumbnail is no label"):
        label_of(judged, "thumbnail", "dog")


def test_a_hit_is_what_was_wanted_of_that_picture_in_either_column() -> None:
    said = Said(
        thing=["dog", "cat", "dog", None, None],
        thing_also=["cat", "dog", None, "dog", None],
    )
    wanted = ["dog", "dog", "cat", "dog", "dog"]
    assert hits(said, "thing", pictures(5), wanted) == [True, True, False, True, False]
    assert said.told == wanted
    assert hits(said, "thing_also", pictures(5), wanted) == [False, True, False, True, False]
    assert hits(said, "thing", [], []) == []
