"""The judge of what is not in the emoji world, on pictures that it was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from turpentine.attack.controls import unseen
from turpentine.core.errors import UnknownName
from turpentine.emoji.captions import draw
from turpentine.emoji.unseen import unseen_pictures
from turpentine.emoji.world import render
from turpentine.judges.emoji_unseen import UnseenJudge


def test_new_renders_of_the_thing_are_seen_and_others_are_not() -> None:
    judge = UnseenJudge("octopus")
    rng = np.random.default_rng(5)
    world = [Image.fromarray(render(draw(rng).picture)) for _ in range(100)]
    assert judge(unseen_pictures("octopus", 48, 99))["unseen"].to_list().count("octopus") >= 46
    assert judge(world)["unseen"].to_list().count("octopus") <= 4
    assert judge(unseen_pictures("anchor", 24, 99))["unseen"].to_list().count("octopus") <= 1


def test_two_judges_of_two_things_are_two() -> None:
    assert UnseenJudge("anchor").settings != UnseenJudge("snowman").settings
    with pytest.raises(UnknownName, match="no sprites of 'yeti'"):
        UnseenJudge("yeti")


def test_a_control_has_pictures_of_the_thing_and_a_judge_of_it() -> None:
    name, pictures, judge = unseen("mushroom", 4)
    assert name == "mushroom" and len(pictures) == 4 and isinstance(judge, UnseenJudge)
    assert judge(pictures)["unseen"].to_list() == ["mushroom"] * 4
