"""A studio on a toy that draws 16 px, with a judge of brightness, and what counts its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from PIL import Image
from tiny import tiny_sd1

from turpentine.edits import Edit, Provenance
from turpentine.judges.base import Column
from turpentine.models import Model
from turpentine.studio.session import Session

BIAS = "unet.conv_out.bias"


class LightJudge:
    """Sees a church in a picture that is lighter than a level, else a dog."""

    name = "light"
    revision = "1"
    needs: ClassVar[frozenset[str]] = frozenset()
    columns: ClassVar[Mapping[str, Column]] = {"object": Column(labels=("church", "dog"))}
    download = None

    def __init__(self, level: float) -> None:
        self.settings: Mapping[str, Any] = {"level": level}

    def __call__(self, images: Sequence[Image.Image], **beside: Any) -> pl.DataFrame:
        light = [float(np.asarray(image).mean()) > self.settings["level"] for image in images]
        return pl.DataFrame({"object": ["church" if each else "dog" for each in light]}, {"object": pl.String})


def small_model() -> Model:
    """A toy of 4 layers that draws 16 px, which belongs to no world."""
    pipeline = tiny_sd1()
    pipeline.unet.register_to_config(sample_size=4)
    return Model(pipeline)


def pushed(model: Model, by: float = 0.5) -> Edit:
    delta = torch.full_like(model.parameter(BIAS), by)
    return Edit({BIAS: delta}, Provenance(method="push", base=model.fingerprint))


def studio_on(model: Model, folder: Path, **more: Any) -> Session:
    """A session of few steps, whose judge sees a church in every picture."""
    session = Session(model, folder, **{"judge": LightJudge(-1.0), **more})
    if session.state.revision == 0:
        session.change(steps=2, pictures=2, budget=8, method="uce")
    return session


@contextmanager
def counted(model: Model) -> Iterator[list[int]]:
    """Count the rows of the denoiser, as the list's only number."""
    rows = [0]

    def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rows[0] += len(next(each for each in (*args, *kwargs.values()) if hasattr(each, "shape")))

    hook = model.denoiser.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield rows
    finally:
        hook.remove()
