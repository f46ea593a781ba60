from collections.abc import Collection

from turpentine.erase.cad import CAD
from turpentine.erase.cad_amplify import CadAmplify
from turpentine.erase.conceptprune import Conceptprune
from turpentine.models import Model
from turpentine.testing.contract import MethodContract


class TestCAD(MethodContract):
    def method(self) -> CAD:
        return CAD(share=0.05, sampling_steps=2)

    def promised(self, model: Model) -> Collection[str]:
        return model.sites.only(level="layer", kind="feed-forward").parameters()


class TestCadAmplify(TestCAD):
    def method(self) -> CadAmplify:  # type: ignore[override]
        return CadAmplify(share=0.05, pictures=1, draws=2, sampling_steps=2)


class TestConceptprune(TestCAD):
    def method(self) -> Conceptprune:  # type: ignore[override]
        return Conceptprune(share=0.2, pairs=1, sampling_steps=2, window=(0.0, 0.5))
