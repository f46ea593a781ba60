"""Which column of a judge tells of a concept, however that is put."""

from __future__ import annotations

import pytest

from turpentine.judges import EmojiJudge, judge
from turpentine.judges.base import sought


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
