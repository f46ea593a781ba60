"""How large a model is and what it is built as, for settings that go by it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.core.model_argument import check_is_model
from turpentine.emoji import MMDIT_NAME, WORLD
from turpentine.emoji.oracles import is_oracle_name
from turpentine.models.loading.hub import cached_file, is_hub_id
from turpentine.models.loading.source import INDEX

if TYPE_CHECKING:
    from turpentine.models.model import Model

FULL_WIDTH = 320
"""Channels of Stable Diffusion's first level; the widest level of the embedded model has fewer."""

SMALL = (WORLD, MMDIT_NAME)
"""The embedded models whose denoisers are narrower than that."""


def is_small(model: Model | str | Path) -> bool:
    """Return whether every level of the denoiser is narrower than Stable Diffusion's first: such a model learns faster.

    Args:
        model: A loaded model, or what `load` is given. Nothing is loaded or fetched for it: "emoji" and "emoji-mmdit"
            are small, a folder's config of the denoiser says its widths, and a hub id or a single file passes for a
            full-size model.
    """
    if isinstance(model, str | Path):
        return str(model) in SMALL or is_oracle_name(str(model)) or _is_narrow(_widths_in(Path(model).expanduser()))
    check_is_model(model)
    return _is_narrow(model.family.level_widths(model.denoiser.config))


def pipeline_class(model: Model | str | Path) -> str:
    """Return the name of diffusers' class of pipelines that a model is, such as "FluxPipeline"; "" where nothing says.

    Args:
        model: A loaded model, or what `load` is given. Nothing is loaded or fetched for it: a folder's index says
            it, and a hub id's if it is in the cache. A single file, and what is not here yet, say nothing.
    """
    if not isinstance(model, str | Path):
        check_is_model(model)
        return model.family.pipeline_class
    index = Path(model).expanduser() / INDEX
    if is_hub_id(str(model)):
        index = cached_file(str(model), INDEX) or index
    try:
        name = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def _is_narrow(widths: Sequence[int]) -> bool:
    return 0 < max(widths, default=0) < FULL_WIDTH


def _widths_in(folder: Path) -> Sequence[int]:
    """Return the channels of a model's levels, none where the folder does not say."""
    if not folder.is_dir():
        return ()
    from turpentine.models.families import FAMILIES

    for family in FAMILIES:
        try:
            text = (folder / family.denoiser_name / "config.json").read_text(encoding="utf-8")
            config: Mapping[str, Any] = json.loads(text)
            return family.level_widths(config)
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return ()
