from collections.abc import Collection

from turpentine.erase.esd import ESD, esd_sites
from turpentine.models import Model
from turpentine.testing.contracts import MethodContract


class TestESD(MethodContract):
    batch_is_memory = False  # its rows are drawn for an update

    def method(self) -> ESD:
        return ESD(sites="x-strict", steps=1, trajectories=1, sampling_steps=2, lr=1e-2)

    def promised(self, model: Model) -> Collection[str]:
        return esd_sites(model, "x-strict").parameters()
