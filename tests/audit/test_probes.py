"""What is drawn to see what else broke: nothing that is to be gone, and all groups that there are."""

from __future__ import annotations

from collections import Counter

import pytest

from turpentine.audit.probes import NEIGHBOURS, OPEN, OTHER_SCENES, PAIRS, probes_for
from turpentine.audit.second import nearest
from turpentine.concepts import Concept
from turpentine.emoji.world import SCENES, WORKS
from turpentine.judges import EmojiJudge
from turpentine.models import load
from turpentine.tasks.erasure_cases import named_concept
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy


@pytest.mark.parametrize(
    ("text", "column", "without"),
    [
        ("church", "object", {"church"}),
        ("ink style", "style", {"ink"}),
        ("red background", "colour", {"red"}),
        ("lumen", "artist", {work.title for work in WORKS if work.artist == "lumen"}),
        ("sunday prayer", "object", set()),
    ],
)
def test_in_the_world_every_group_is_there_and_nothing_that_is_to_be_gone(
    text: str, column: str, without: set[str]
) -> None:
    probes = probes_for(load(), named_concept(text), EmojiJudge(), column, 96)
    counts = Counter(each.group for each in probes)
    assert {NEIGHBOURS, PAIRS, OPEN} <= set(counts) and len(counts) >= 6
    assert counts[PAIRS] == counts[OPEN] == 32 and sum(counts.values()) == 96 + 64
    assert counts[NEIGHBOURS] == 24
    assert not without & {label for each in probes for label in each.expected}
    if column in ("object", "style", "colour") and text != "sunday prayer":
        assert not any(text.split()[0] in each.prompt.split() for each in probes)
        scenes = {each.prompt for each in probes if each.group == OTHER_SCENES}
        assert scenes and not scenes & {scene for scene, obj in SCENES.items() if obj == text}
        near = {label for each in probes if each.group == NEIGHBOURS for label in each.expected}
        assert near == set(nearest(named_concept(text), is_world=True))
    assert all(len(each.expected) == 2 for each in probes if each.group == PAIRS)


def test_elsewhere_other_things_are_those_that_the_judge_can_see() -> None:
    probes = probes_for(toy("sd1"), Concept("church"), CoinJudge(), "object", 24)
    single = [each for each in probes if each.group != OPEN]
    assert len(single) == 24 and {each.expected for each in single} == {("dog",)}
    assert not any("church" in each.prompt for each in probes)
    assert len(probes) == 24 + 8 and {each.group for each in probes} >= {OPEN}
