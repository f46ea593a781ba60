"""Which method to take by default for a kind of model and of concept, and when to use each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from turpentine.concepts import Concept, Kind
from turpentine.core.plugins import find
from turpentine.models import is_small

if TYPE_CHECKING:
    from turpentine.models import Model

Scale = Literal["small", "full"]
"""Models of the embedded one's size, and those of Stable Diffusion's."""

Goal = Literal["erase", "amplify"]


@dataclass(frozen=True)
class Best:
    """The method for one kind of concept.

    Attributes:
        name: Of the method.
        reason: What was measured, so that it is this one.
        settings: What is other for this kind than the method's defaults for the model.
    """

    name: str
    reason: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def method(self, model: Model | str | Path) -> Any:
        """Return the method with its defaults for a model, and the settings for this kind."""
        return replace(find(self.name).defaults(model), **self.settings)


_OBJECT = Best(
    "uce-aligned",
    "over prompts that name one of ten objects of the embedded model it left 1 of 160 pictures, and 345 of 356 of the "
    "others stayed; its η was chosen on the first five, where it left none",
)
_STYLE = Best(
    "uce-aligned",
    "with η 0 it left 11 % (3–22) of six styles of the embedded model and 97 % (93–100) of the others; more η leaves "
    "less of both, and other methods leave about 40 %",
    {"eta": 0.0},
)
_OTHER = Best(
    "uce-aligned",
    "it left 3 of 160 pictures that name an object of the embedded model; of this kind nothing was measured",
)
_PUBLISHED = Best(
    "uce",
    "of the published results on Stable Diffusion 1.4 it keeps most of the rest, objects from 78.2 to 3.3 % and others "
    "from 78.2 to 78.9 (arXiv 2412.02542, Table 1); nothing was measured on this model",
)

_NUDITY = Best(
    "cad",
    "of the published results on Stable Diffusion 1.4 it leaves least, 43 of the 798 parts that NudeNet finds, and the "
    "CLIP score at 31.30 of 31.32 (arXiv 2412.02542, Table 2, where ESD leaves 88); nothing was measured on this model",
    {"share": 0.00075, "per": "published"},
)

ERASERS: Mapping[Scale, Mapping[Kind, Best]] = {
    "small": {**dict.fromkeys(get_args(Kind), _OTHER), "object": _OBJECT, "style": _STYLE},
    "full": {**dict.fromkeys(get_args(Kind), _PUBLISHED), "nudity": _NUDITY},
}
"""The default by the model's scale and the concept's kind: the one place where it is written down."""

AMPLIFIER = Best("cad-amplify", "it is the only method that amplifies")

WHEN: Mapping[str, str] = {
    "cad": "the edit must be few weights set to zero; the rest pays more than with UCE",
    "cad-amplify": "a concept shows too seldom; the gain is small, see docs/methods.md",
    "conceptprune": "to compare with its authors; hardly erases in small models",
    "diff-quickfix": "the text encoder is to be edited and the denoiser left alone; what is only implied stays",
    "esd": "sites of your own are to be trained, such as those that an instrument names",
    "esd-all": "everything may move",
    "esd-selfattn": "self-attention alone is to be trained",
    "esd-u": "what is only implied must go too, and minutes and some of the rest may be paid for it",
    "esd-x": "a trained edit is wanted, of what is named; takes minutes on a full-size model",
    "esd-x-strict": "as esd-x, for an edit of keys and values only, which exports as a small LoRA",
    "loco-edit": "you have located the layers and want to edit those alone",
    "negative-prompt": "no weight may change and a little less will do",
    "picture-filter": "a baseline that erases nothing: what a service does behind its model",
    "prompt-filter": "a baseline that erases nothing: what a service does before its model",
    "rece": "an edit must hold against prompts made to undo it, and harm to others is accepted",
    "sld": "no weight may change and you tune the strength yourself",
    "sld-max": "no weight may change and all must go, the rest coming second",
    "sld-medium": "no weight may change, at its authors' middle strength",
    "sld-strong": "no weight may change and what is named must go",
    "sld-weak": "no weight may change, at its authors' least strength",
    "uce": "a full-size model and an object or a style, in doubt: seconds, the rest as it was",
    "uce-aligned": "in doubt, in a small model; a style is to go and what is drawn in it to stay",
    "uce-debias": "nothing is to go: a concept's pictures are to show attributes in given ratios",
    "uce-paper": "as uce, where what is only implied must go too; harms others a little more",
}
"""When to use a method, by name; of another package's method nothing is known."""


def best_for(model: Model | str | Path, concepts: Sequence[Concept], goal: Goal = "erase") -> Best:
    """Return the default method for a model and what is erased or amplified.

    Args:
        model: The model, or its name for `load`; see `turpentine.models.is_small`.
        concepts: One at least; the first one's kind decides.
        goal: Whether they are to be erased or amplified.

    Example:
        >>> best_for("emoji", [Concept("church")]).name
        'uce-aligned'
    """
    if goal == "amplify":
        return AMPLIFIER
    return ERASERS["small" if is_small(model) else "full"][concepts[0].kind]
