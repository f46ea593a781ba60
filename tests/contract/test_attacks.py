"""The contract of every attack."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from turpentine.attack.budget import Budget
from turpentine.attack.cce import CCE
from turpentine.attack.classifier_probe import ClassifierProbe
from turpentine.attack.completion import Completion
from turpentine.attack.harness import Attack
from turpentine.attack.latent_inversion import LatentInversion
from turpentine.attack.misspellings import Misspellings
from turpentine.attack.mma import MMA
from turpentine.attack.noise_probe import NoiseProbe
from turpentine.attack.p4d import P4D
from turpentine.attack.paraphrases import Paraphrases
from turpentine.attack.partial_editing import PartialEditing
from turpentine.attack.prompt_list import PromptList
from turpentine.attack.random_prefix import RandomPrefix
from turpentine.attack.relearning import Relearning
from turpentine.attack.revival import Revival
from turpentine.attack.ring_a_bell import RingABell
from turpentine.attack.seed_search import SeedSearch
from turpentine.attack.sneakyprompt import SneakyPrompt
from turpentine.attack.unlearndiffatk import UnlearnDiffAtk
from turpentine.core.plugins import plugins
from turpentine.testing.contracts import AttackContract

LISTED = Path(__file__).with_name("prompts.csv")


class TestCCE(AttackContract):
    def attack(self) -> Attack:
        return CCE(updates=4, batch=2, stages=2)


class TestCompletion(AttackContract):
    small: ClassVar[Budget] = Budget(forward=100)  # one stage: less than it needs is refused

    def attack(self) -> Attack:
        return Completion(share=0.5)


class TestLatentInversion(AttackContract):
    small: ClassVar[Budget] = Budget(forward=40)

    def attack(self) -> Attack:
        return LatentInversion(inverted=2, batch=1, inner=2)


class TestRelearning(AttackContract):
    def attack(self) -> Attack:
        return Relearning(updates=4, batch=2, stages=2)


class TestPartialEditing(AttackContract):
    def attack(self) -> Attack:
        return PartialEditing(strength=0.5)


class TestRevival(AttackContract):
    def attack(self) -> Attack:
        return Revival(rank=2, rounds=1)


class _Judged(AttackContract):
    """Attacks with a judge in the loop."""

    small: ClassVar[Budget] = Budget(judged=3)


class TestSeedSearch(_Judged):
    def attack(self) -> Attack:
        return SeedSearch(seeds=3)


class TestRandomPrefix(_Judged):
    def attack(self) -> Attack:
        return RandomPrefix(candidates=3, per_candidate=2)


class TestParaphrases(_Judged):
    def attack(self) -> Attack:
        return Paraphrases(templates=("{}", "red {}"), per_candidate=2)


class TestMisspellings(_Judged):
    def attack(self) -> Attack:
        return Misspellings(candidates=2, per_candidate=2)


class TestNoiseProbe(_Judged):
    def attack(self) -> Attack:
        return NoiseProbe(etas=(1.5,), scales=(1.0, 1.04), per_candidate=2)


class TestUnlearnDiffAtk(AttackContract):
    small: ClassVar[Budget] = Budget(forward=11)

    def attack(self) -> Attack:
        return UnlearnDiffAtk(tokens=2, timesteps=4, iterations=2, stages=2)


class TestP4D(AttackContract):
    small: ClassVar[Budget] = Budget(forward=20)

    def attack(self) -> Attack:
        return P4D(tokens=3, updates=4, pool=2, judge_every=2, stages=2)


class TestRingABell(AttackContract):
    small: ClassVar[Budget] = Budget(text=50)

    def attack(self) -> Attack:
        return RingABell(tokens=4, population=10, generations=6, stages=3)


class TestMMA(AttackContract):
    small: ClassVar[Budget] = Budget(text=40)

    def attack(self) -> Attack:
        return MMA(tokens=4, updates=4, candidates=16, top_k=8, stages=2)


class TestSneakyPrompt(_Judged):
    def attack(self) -> Attack:
        return SneakyPrompt(queries=5, pieces=2, letters=4, width=4, stages=2, towers="emoji")


class TestClassifierProbe(_Judged):
    def attack(self) -> Attack:
        return ClassifierProbe(scales=(1.0, 5.0), per_candidate=2, updates=2, batch=2, stages=2)


class TestPromptList(_Judged):
    def attack(self) -> Attack:
        return PromptList(LISTED, stages=2)


def test_every_attack_is_held_by_the_contract() -> None:
    tested = [
        TestCCE,
        TestCompletion,
        TestLatentInversion,
        TestRelearning,
        TestPartialEditing,
        TestRevival,
        TestSeedSearch,
        TestRandomPrefix,
        TestParaphrases,
        TestMisspellings,
        TestNoiseProbe,
        TestUnlearnDiffAtk,
        TestP4D,
        TestRingABell,
        TestMMA,
        TestSneakyPrompt,
        TestClassifierProbe,
        TestPromptList,
    ]
    assert {type(each().attack()) for each in tested} == {plugin.load() for plugin in plugins("attack").values()}
