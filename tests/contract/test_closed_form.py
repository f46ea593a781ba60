from collections.abc import Collection
from typing import Any

from turpentine.erase.diff_quickfix import DiffQuickFix
from turpentine.erase.loco_edit import LocoEdit
from turpentine.erase.rece import RECE
from turpentine.erase.uce import UCE
from turpentine.erase.uce_debias import UCEDebias
from turpentine.models import Model
from turpentine.testing.contracts import MethodContract

PLAIN = ("{}",)


def _keys_and_values(model: Model, label: str = "*") -> Collection[str]:
    layers = model.sites.only(level="layer", kind="cross-attention", name=("*.to_k", "*.to_v"), label=label)
    return layers.parameters()


class TestUCE(MethodContract):
    def method(self) -> Any:
        return UCE(templates=PLAIN)

    def promised(self, model: Model) -> Collection[str]:
        return _keys_and_values(model)


class TestPaperUCE(TestUCE):
    def method(self) -> UCE:
        return UCE(variant="paper", templates=PLAIN, preserve=("cat",))


class TestUCEDebias(TestUCE):
    def method(self) -> Any:
        return UCEDebias(("house", "cat"), rounds=1, pictures=1, sampling_steps=2, clip_model="emoji", templates=PLAIN)


class TestRECE(TestUCE):
    def method(self) -> RECE:
        return RECE(rounds=1, templates=PLAIN)


class TestLocoEdit(MethodContract):
    def method(self) -> LocoEdit:
        return LocoEdit(sites="UP2", templates=PLAIN)

    def promised(self, model: Model) -> Collection[str]:
        return _keys_and_values(model, "UP2")


class TestDiffQuickFix(MethodContract):
    def method(self) -> DiffQuickFix:
        return DiffQuickFix(anchor="house", templates=PLAIN)

    def promised(self, model: Model) -> Collection[str]:
        return model.sites.only(level="layer", name="text_encoder*.layers.0.self_attn.out_proj").parameters()
