"""Unified Concept Editing: a concept's keys and values in closed form (Gandikota et al. 2024, arXiv 2308.14761)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from turpentine.concepts import Concept
from turpentine.core.progress import Progress
from turpentine.edits import Edit
from turpentine.erase._closed_form.linear import Scales, solve
from turpentine.erase._closed_form.text_states import key_and_value_weights
from turpentine.erase._closed_form.uce_objective import FORMS, lesson, shifted
from turpentine.erase.common import Sized, Tally, as_concepts, provenance_of
from turpentine.models import Model, Selection


@dataclass(frozen=True)
class UCE(Sized):
    """Make the keys and values of cross-attention answer a concept as they answer something harmless, in closed form.

    For every such weight W₀, with k a state of the concept's text, g of what stands for it and p of a text to keep, the
    W that minimises a·Σ|W·k − W₀·g|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|² (equation 7). Any number of concepts is one
    solution, and one factorisation serves all weights.

    The authors have published two forms, whose edits differ by several times in size; each is named in what it makes:
    "2025" (their later code): k is the last token of the concept, g that of "art" for styles, artists and works and of
        the empty prompt, which is the start token, for the rest; nothing is kept unless asked for; b is 1.
    "paper" (the paper's code, `uce-paper`): k is each token from the concept's last to the end of the padding, g those
        of " ", as many as both have; every token of the empty prompt is kept too; b is the larger of 0.1 and 1/n for n
        kept texts.

    variant: "2025" or "paper". guide: a text that stands for all concepts; by default the variant's.
    preserve: texts to keep, beside those that each concept names.
    erase_scale: a, above 0. preserve_scale: b, 0 or more; by default the variant's. lamb: λ, above 0.
    templates: sentences in which concepts and kept texts are said, with {} for the text; with none, the concept's.
    sites: labels of cross-attention modules, such as "UP2,UP3" or "DOWN?", * for all; or any selection of sites, also
        by their names; the keys and values in it count.
    """

    name: ClassVar[str] = "uce"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "guide": ""}
    """Settings for models of the embedded one's size, whose few words are those of its own captions: "art" is none."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"uce-paper": {"variant": "paper"}}
    """The name of the paper's form, and what it sets."""

    variant: Literal["2025", "paper"] = "2025"
    guide: str | None = None
    preserve: tuple[str, ...] = ()
    erase_scale: float = 1.0
    preserve_scale: float | None = None
    lamb: float = 0.5
    templates: tuple[str, ...] = ("{}",)
    sites: Selection = "*"

    def __call__(
        self,
        model: Model,
        concept: Concept | Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept, or several in one solution; the model itself is left as it is, and the edit is returned.

        Each distinct text is encoded once; the denoiser is not run. Edits that are on the model stay on: W₀ is the
        weight as it is. progress: called with texts and weights done, and in all. checkpoint: not used, this is short.
        Raises BadArgument, EmptyConcept or EmptySelection for settings; NotFinite, naming the text or the weight.
        """
        concepts, form = as_concepts(concept), FORMS[self.variant]
        taught = lesson(form, concepts, guide=self.guide, preserve=self.preserve, templates=self.templates)
        default = form.preserve_scale(len(taught.kept))
        b = default if self.preserve_scale is None else self.preserve_scale
        scales = Scales(self.lamb, self.erase_scale, b)
        names = key_and_value_weights(model, self.sites)
        tally = Tally(progress, len(taught) + len(names))
        shift = solve(*taught.moved(model, tally), taught.held(model, tally), scales=scales)
        return shifted(model, names, shift, provenance_of(self, model, concepts), tally)
