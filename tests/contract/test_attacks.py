"""The contract of every attack."""

from __future__ import annotations

from turpentine.attack.cce import CCE
from turpentine.attack.harness import Attack
from turpentine.core.plugins import plugins
from turpentine.testing.contracts import AttackContract


class TestCCE(AttackContract):
    def attack(self) -> Attack:
        return CCE(updates=4, batch=2, stages=2)


def test_every_attack_is_held_by_the_contract() -> None:
    tested = {type(each().attack()) for each in AttackContract.__subclasses__()}
    assert {plugin.load() for plugin in plugins("attack").values()} <= tested
