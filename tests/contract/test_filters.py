from typing import Any, ClassVar

import numpy as np

from turpentine.erase.filters import PictureFilter, PromptFilter
from turpentine.models import Model
from turpentine.testing.contracts import MethodContract


class _FilterContract(MethodContract):
    """A filter is on or off, and changes no latent but what is shown."""

    part: ClassVar[float] = 0.0

    def picture(self, model: Model) -> Any:
        return np.asarray(model.generate("a church", seeds=0, steps=2)[0])


class TestPromptFilter(_FilterContract):
    def method(self) -> PromptFilter:
        return PromptFilter()


class TestPictureFilter(_FilterContract):
    def method(self) -> PictureFilter:
        return PictureFilter(threshold=-1.0, towers="emoji")
