"""Pictures that hold their own recipe."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from turpentine.cli.picture_files import PictureFile, differences, planned, prompt_in
from turpentine.core.errors import BadArgument

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def test_a_file_is_known_by_all_of_its_recipe(tmp_path: Path) -> None:
    [one] = planned(["a dog"], [3], tmp_path, {"steps": 2, "model": {"weights": "ab"}})
    assert not one.is_complete()
    one.write(IMAGE)
    assert one.is_complete() and prompt_in(one.path) == "a dog"
    for other in ({**one.recipe, "steps": 3}, {**one.recipe, "model": {"weights": "cd"}}):
        assert not replace(one, recipe=other).is_complete()


def test_a_picture_that_was_made_otherwise_is_never_replaced(tmp_path: Path) -> None:
    def written(prompt: str, **settings: Any) -> PictureFile:
        [one] = planned([prompt], [3], tmp_path, settings)
        if not one.is_complete():
            one.write(IMAGE)
        return one

    first = written("a dog", steps=2)
    others = [written("A dog!", steps=2), written("a dog", steps=3), written("a dog", steps=2, model="edited")]
    assert first.path.name == "a-dog-seed3.png" and first.beside is None
    assert [differences(each) for each in others] == [["prompt"], ["steps"], ["model"]]
    assert {each.beside for each in others} == {first.path}
    assert len({first.path, *(each.path for each in others)}) == 4
    for each in (first, *others):  # the same command finds them all again
        assert each.is_complete()
    assert written("a dog", steps=3).path == others[1].path
    assert prompt_in(others[0].path) == "A dog!" and prompt_in(first.path) == "a dog"


def test_prompts_that_share_a_name_have_the_same_files_in_any_order(tmp_path: Path) -> None:
    prompts = ["a dog", "a dog!", "A DOG"]
    one = {each.prompt: each for each in planned(prompts, [0, 1], tmp_path, {})}
    assert len({each.path for each in planned(prompts, [0, 1], tmp_path, {})}) == 6
    assert one["a dog"].path.name == "a-dog-seed1.png"
    for each in planned(prompts, [0, 1], tmp_path, {}):
        each.write(IMAGE)
    assert all(each.is_complete() for each in planned(prompts[::-1], [1, 0], tmp_path, {}))


def test_a_damaged_picture_is_complete_anew_and_never_taken_for_whole(tmp_path: Path) -> None:
    [one] = planned(["a dog"], [3], tmp_path, {"steps": 2})
    one.write(IMAGE)
    whole, dice, damaged = one.path.read_bytes(), random.Random(0), 0
    start = whole.index(b"IDAT")
    for _ in range(100):
        content = bytearray(whole)
        content[dice.randrange(start + 8, len(content))] ^= 1 << dice.randrange(8)
        one.path.write_bytes(content)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            is_complete = one.is_complete()
        if is_complete:  # a checksum of PNG's own that nobody reads
            assert np.array_equal(np.asarray(Image.open(one.path)), np.asarray(IMAGE))
        else:
            assert [str(each.message) for each in warned] == [f"{one.path} is damaged: it is drawn anew."]
            damaged += 1
    assert damaged > 80


def test_another_programs_picture_is_refused(tmp_path: Path) -> None:
    [one] = planned(["a dog"], [3], tmp_path, {})
    IMAGE.save(one.path)
    with pytest.raises(BadArgument, match="another program's file"):
        one.is_complete()
