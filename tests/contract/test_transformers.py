"""The methods that run on a denoiser that is a transformer keep the contract of methods there."""

from collections.abc import Collection
from typing import Any, ClassVar

from turpentine.erase.esd import ESD, esd_sites
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.erase.uce import UCE
from turpentine.models import Model
from turpentine.testing.contracts import MethodContract
from turpentine.testing.toys import TRANSFORMERS

PLAIN = ("{}",)


class _OnTransformers(MethodContract):
    families: ClassVar[Collection[str]] = tuple(TRANSFORMERS)


class TestESD(_OnTransformers):
    batch_is_memory = False  # its rows are drawn for an update

    def method(self) -> ESD:
        return ESD(sites="x-strict", steps=1, trajectories=1, sampling_steps=2, lr=1e-2)

    def promised(self, model: Model) -> Collection[str]:
        return esd_sites(model, "x-strict").parameters()


class TestUCE(_OnTransformers):
    def method(self) -> Any:
        return UCE(templates=PLAIN)

    def promised(self, model: Model) -> Collection[str]:
        return [name for layers in model.family.readers().values() for name in layers.parameters()]


class TestAlignedUCE(TestUCE):
    families = ("sd3", "flux")

    def method(self) -> Any:
        return UCE(variant="aligned", templates=("a {} and a dog",), eta=0.5)


class TestSLD(_OnTransformers):
    families = ("sd3",)

    def method(self) -> SLD:
        return SLD(warmup=0)


class TestNegativePrompt(_OnTransformers):
    families = ("sd3",)

    def method(self) -> NegativePrompt:
        return NegativePrompt()
