"""How large a model is, for settings that go by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turpentine.models.model import Model

FULL_WIDTH = 320
"""Channels of Stable Diffusion's first level; the widest level of the embedded model has fewer."""


def is_small(model: Model | str | Path) -> bool:
    """Is no level of the denoiser as wide as Stable Diffusion's first, so that its weights learn faster?

    model: a loaded model, or what `load` is told. Nothing is loaded or fetched for it: "emoji" is known to be small, a
        folder's `unet/config.json` says its widths, and a hub id or a single file passes for a full-size model.
    """
    if isinstance(model, str | Path):
        return str(model) == "emoji" or _is_narrow(_widths(Path(model).expanduser()))
    return _is_narrow(model.unet.config.block_out_channels)


def _is_narrow(widths: Sequence[int]) -> bool:
    return 0 < max(widths, default=0) < FULL_WIDTH


def _widths(folder: Path) -> list[int]:
    """The channels of a model's levels, none where the folder does not say."""
    try:
        config = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        return [int(width) for width in config["block_out_channels"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
