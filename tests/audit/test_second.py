"""The second judge, and what towers have nearest to a concept."""

from __future__ import annotations

from turpentine.audit.second import nearest, second_judge
from turpentine.concepts import Concept
from turpentine.judges import EmojiJudge
from turpentine.testing.contracts.attack import CoinJudge


def test_beside_towers_stands_the_classifier_and_elsewhere_only_what_is_here() -> None:
    concept = Concept("church")
    towers = second_judge(concept, EmojiJudge(), is_world=True)
    assert towers is not None
    classifier = second_judge(concept, towers.judge, is_world=True)
    assert classifier is not None and classifier.judge.name == "emoji"
    assert second_judge(Concept("dragon"), EmojiJudge(), is_world=True) is None
    assert second_judge(concept, CoinJudge(), is_world=False) is None  # its weights would have to be fetched


def test_neighbours_are_by_the_towers_and_none_where_they_are_not_here() -> None:
    assert "castle" in nearest(Concept("church"), is_world=True) and "cat" in nearest(Concept("dog"), is_world=True)
    assert nearest(Concept("dragon"), is_world=True) == () == nearest(Concept("Monet", "artist"), is_world=False)
