"""The contract of every attack."""

from __future__ import annotations

from typing import ClassVar

from turpentine.attack.budget import Budget
from turpentine.attack.cce import CCE
from turpentine.attack.completion import Completion
from turpentine.attack.harness import Attack
from turpentine.attack.misspellings import Misspellings
from turpentine.attack.noise_probe import NoiseProbe
from turpentine.attack.paraphrases import Paraphrases
from turpentine.attack.random_prefix import RandomPrefix
from turpentine.attack.seed_search import SeedSearch
from turpentine.core.plugins import plugins
from turpentine.testing.contracts import AttackContract


class TestCCE(AttackContract):
    def attack(self) -> Attack:
        return CCE(updates=4, batch=2, stages=2)


class TestCompletion(AttackContract):
    small: ClassVar[Budget] = Budget(forward=100)  # one stage: less than it needs is refused

    def attack(self) -> Attack:
        return Completion(share=0.5)


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


def test_every_attack_is_held_by_the_contract() -> None:
    tested = [
        TestCCE,
        TestCompletion,
        TestSeedSearch,
        TestRandomPrefix,
        TestParaphrases,
        TestMisspellings,
        TestNoiseProbe,
    ]
    assert {type(each().attack()) for each in tested} == {plugin.load() for plugin in plugins("attack").values()}
