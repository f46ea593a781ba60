"""What ESD trains for which kind of concept in a full-size model, as its authors do, where a user leaves it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.concepts import Kind
from turpentine.models import is_small, pipeline_class

if TYPE_CHECKING:
    from turpentine.models import Model


@dataclass(frozen=True)
class ESDRecipe:
    """Settings of a method, and who has them so.

    Attributes:
        settings: Fields of the method.
        source: Where they are published, or that they are not.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


_PAPER = "as arXiv 2303.07345 has it for"
_NAMED = ESDRecipe({"sites": "x"}, f"{_PAPER} styles and artists, which go where they are named")
_ALL_BUT = ESDRecipe({"sites": "u"}, f"{_PAPER} objects and nudity, which go where they are only implied too")

BY_KIND: Mapping[Kind, ESDRecipe] = {
    "object": _ALL_BUT,
    "scene": ESDRecipe({"sites": "u"}, "no paper of ESD has scenes; as for objects, which prompts imply as well"),
    "nudity": _ALL_BUT,
    "style": _NAMED,
    "artist": _NAMED,
    "work": ESDRecipe({"sites": "x"}, "no paper of ESD has single works; as for artists, who are named too"),
    "person": ESDRecipe({"sites": "x"}, "no paper of ESD has persons; as for artists, who are named too"),
    "colour": ESDRecipe({"sites": "x"}, "no paper of ESD has colours; as for styles, which are named too"),
}
"""For Stable Diffusion 1 and 2, and for architectures that public code of ESD does not know."""

BY_CLASS: Mapping[str, ESDRecipe] = {
    "StableDiffusionXLPipeline": ESDRecipe(
        {"sites": "x-strict"}, "as the authors' esd_sdxl.py is called, which warns of other sets there"
    ),
    "FluxPipeline": ESDRecipe({"sites": "x"}, "as the authors' esd_flux.py is called, which has no esd-u"),
}
"""For any kind of concept, by diffusers' class of the pipeline."""


def recipe_for(model: Model | str | Path, kind: Kind) -> ESDRecipe | None:
    """Return what ESD trains for a kind of concept; None for a model of the embedded one's size, which has its own.

    Args:
        model: The model, or what `load` is given; see `turpentine.models.pipeline_class`.
        kind: The concept's.

    Example:
        >>> recipe_for("emoji", "object") is None
        True
    """
    if is_small(model):
        return None
    name, recipe = pipeline_class(model), BY_KIND[kind]
    if name in ("", "StableDiffusionPipeline"):
        return recipe
    return BY_CLASS.get(name, replace(recipe, source=f"{recipe.source}; for this architecture nothing is published"))
