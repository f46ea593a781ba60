from collections.abc import Collection

from turpentine.erase.cad import CAD
from turpentine.erase.cad_amplify import CADAmplify
from turpentine.erase.conceptprune import ConceptPrune
from turpentine.models import Model
from turpentine.testing.contracts import MethodContract


class TestCAD(MethodContract):
    def method(self) -> CAD:
        return CAD(share=0.05, sampling_steps=2)

    def promised(self, model: Model) -> Collection[str]:
        return model.sites.only(level="layer", kind="feed-forward").parameters()


class TestCADAmplify(TestCAD):
    def method(self) -> CADAmplify:  # type: ignore[override]
        return CADAmplify(share=0.05, pictures=1, draws=2, sampling_steps=2)


class TestConceptPrune(TestCAD):
    def method(self) -> ConceptPrune:  # type: ignore[override]
        return ConceptPrune(share=0.2, pairs=1, sampling_steps=2, window=(0.0, 0.5))
