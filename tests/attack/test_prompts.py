"""Attacks that try prompts: what is tried, in which order, and which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack.searches import SetJudge

from turpentine.attack._prompts import lines_of
from turpentine.attack._stages import SearchStage, StageStore
from turpentine.attack.paraphrases import Paraphrases
from turpentine.attack.random_prefix import RandomPrefix
from turpentine.attack.seed_search import SeedSearch
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.models import Artefact, Model
from turpentine.testing.contracts.attack import CoinJudge

TRIAL = Trial(steps=1, pictures=2, curve_pictures=1)


def test_the_prompt_with_the_most_hits_in_the_search_wins(sd1: Model, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# sub-classes\n\nchurch house\nchurch cat\n")
    attack = Paraphrases(file=words, templates=("red {}",), per_candidate=2)
    judge = SetJudge()
    SetJudge.seen = {each.tobytes() for each in sd1.generate("red church cat", seeds=[4, 5], steps=1)}
    outcome = attack(sd1, "church", judge=judge, trial=TRIAL)
    assert isinstance(outcome.artefact, Artefact) and outcome.artefact.prompts == ("red church cat",)
    assert outcome.tries == (False, False, False, False, True, True) and outcome.first_hit == 5
    assert outcome.spent.judged == 6 and outcome.spent.forward == 12


def test_seeds_are_tried_until_all_are(sd1: Model) -> None:
    judge = SetJudge()
    SetJudge.seen = {each.tobytes() for each in sd1.generate("a church", seeds=[3], steps=1)}
    outcome = SeedSearch(seeds=4)(sd1, "church", judge=judge, trial=TRIAL)
    assert outcome.tries == (False, False, False, True)  # the second prompt with the fourth seed
    assert outcome.success.hits == 0


def test_a_random_prefix_is_what_was_evaluated_whatever_its_text_becomes(sd1: Model) -> None:
    outcome = RandomPrefix(tokens=3, candidates=1, per_candidate=1)(sd1, "church", judge=CoinJudge(), trial=TRIAL)
    artefact = outcome.artefact
    assert isinstance(artefact, Artefact)
    start, *ids = artefact.ids["text"][0].tolist()
    assert len(ids) == sd1.tokens - 1 and artefact.prompts[0].endswith("a church")
    typed = sd1.family.tokenize(artefact.prompts)["text"][0].tolist()
    assert outcome.round_trips == (typed == [start, *ids])
    assert ("other tokens" in outcome.summary()) != outcome.round_trips


def test_a_list_of_words_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(BadArgument, match="holds no line"):
        lines_of(tmp_path / "empty.txt")
    with pytest.raises(BadArgument, match="cannot be read"):
        lines_of(tmp_path / "none.txt")
    with pytest.raises(BadArgument, match="must hold"):
        Paraphrases(templates=("a church",))


def test_stages_come_back_from_a_folder_as_they_were(tmp_path: Path) -> None:
    store = StageStore(tmp_path, ["x"])
    store.put(0, SearchStage(Artefact(("a church",)), measurements={"loss": 0.5}, tries=(True, False)))
    (back,) = StageStore(tmp_path, ["x"]).stages()
    assert (
        back.artefact == Artefact(("a church",)) and back.measurements == {"loss": 0.5} and back.tries == (True, False)
    )
    assert not store.is_finished() and StageStore(tmp_path, ["y"]).stages() == []
    store.finish(1)
    assert store.is_finished()
