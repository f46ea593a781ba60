"""An object in company: prompts, hits and the difference by hand."""

from __future__ import annotations

import pytest

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.explain.entangle import Entangle, read_objects
from turpentine.judges import EmojiJudge
from turpentine.models import Model
from turpentine.stats.intervals import paired_bootstrap, wilson

OBJECTS = {"dog": ("cat", "church"), "owl": ("penguin", "apple")}


def test_hits_are_the_judges_first_or_second_answer(emoji: Model) -> None:
    found = Entangle(steps=6)(emoji, OBJECTS, [0, 1], judge=EmojiJudge())
    prompts = [
        "a dog",
        "an owl",
        "a dog and a cat",
        "an owl and a penguin",
        "a dog and a church",
        "an owl and an apple",
    ]
    assert found.rows["prompt"].to_list() == [prompt for prompt in prompts for _ in range(2)]
    said = EmojiJudge()(emoji.generate(found.rows["prompt"].to_list(), seeds=[0, 1] * 6, steps=6, batch_size=16))
    hits = [
        wanted in (first, also)
        for wanted, first, also in zip(found.rows["object"], said["object"], said["object_also"], strict=True)
    ]
    assert found.rows["hit"].to_list() == hits
    assert found.table["value"].to_list() == [sum(hits[i : i + 4]) / 4 for i in (0, 4, 8)]
    assert (found.table["low"][1], found.table["high"][1]) == wilson(sum(hits[4:8]), 4)
    assert found.harm == paired_bootstrap(hits[8:], hits[4:8])
    assert found.plot().get_axes()


def test_neighbours_and_others_pair_up_by_their_object(emoji: Model) -> None:
    found = Entangle(steps=2)(emoji, dict(reversed(OBJECTS.items())), [0], judge=EmojiJudge())
    near, far = found.rows[2:4], found.rows[4:6]
    assert near["object"].to_list() == far["object"].to_list() == ["owl", "dog"]
    assert far["prompt"].to_list() == ["an owl and an apple", "a dog and a church"]


def test_what_does_not_go_together_is_told(emoji: Model) -> None:
    with pytest.raises(BadArgument, match="one at least"):
        Entangle()(emoji, {}, [0], judge=EmojiJudge())
    with pytest.raises(BadArgument, match="'dog=cat' is no object in company"):
        read_objects(["owl=penguin,apple", "dog=cat"])
    with pytest.raises(BadArgument, match="'Dog' is there twice"):
        read_objects(["dog=cat,church", "Dog=owl,apple"])
    with pytest.raises(UnknownName, match="no column 'taste'"):
        Entangle("taste")(emoji, OBJECTS, [0], judge=EmojiJudge())
    with pytest.raises(BadArgument, match="emoji never says 'dog' in style"):
        Entangle("style")(emoji, OBJECTS, [0], judge=EmojiJudge())
    for near, far in (("dog", "church"), ("cat", "dog"), ("cat", "Cat")):
        with pytest.raises(BadArgument, match=f"'dog' beside '{near}' and '{far}' shows nothing"):
            Entangle()(emoji, {"dog": (near, far)}, [0], judge=EmojiJudge())
    with pytest.raises(BadArgument, match="would be cut off"):
        Entangle()(emoji, {"dog": ("cat " * 80, "church")}, [0], judge=EmojiJudge())
