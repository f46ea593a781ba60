"""LocoEdit: the closed form on the few layers that a concept was located in (Basu et al. 2024, arXiv 2405.01008)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from turpentine.concepts import Concept
from turpentine.core.progress import Progress
from turpentine.edits import Edit
from turpentine.erase._closed_form.linear import Scales, solve
from turpentine.erase._closed_form.text_states import (
    FOUR,
    Positions,
    Said,
    key_and_value_weights,
    paired,
    said,
    text_states,
)
from turpentine.erase._closed_form.uce_objective import shifted
from turpentine.erase.common import Sized, Tally, as_concepts, provenance_of
from turpentine.models import Model, Selection

STYLES = ("{}", "a painting in the style of {}", "a photo in the style of {}", "a picture in the style of {}")
"""The published templates for styles and artists; for the rest they are `reading.FOUR`."""


@dataclass(frozen=True)
class LocoEdit(Sized):
    """LocoEdit: make the keys and values of a few located cross-attention modules answer a concept as its guide.

    For each such weight W₀ the W that minimises Σ|W·k − W₀·g|² + λ·|W − W₀|², with k the state of a concept's last
    token in each of four templates, and g that of its guide: unified concept editing without anything kept, on the
    layers that the concept is drawn by.

    sites: labels of the modules, such as "UP2,UP3" or "MID", or any selection of sites, also by their names; the keys
        and values in it count. The default is the ninth and tenth of Stable Diffusion's 16, where the authors' code
        begins; another model, and another concept, has places of its own, which are to be located first.
    guide: a text that stands for all concepts; by default "a painting" for styles and artists, "a photo" for the rest.
    templates: sentences with {} for the concept; by default the published four of its kind; with none, its own.
    positions: the tokens that are keys: "last", the concept's last; "end", it and the end; "tail", all from it on;
        "all", every one.
    lamb: λ, above 0.
    """

    name: ClassVar[str] = "loco-edit"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "guide": "a picture", "sites": "UP5,UP6,UP7"}
    """Settings for models of the embedded one's size, whose few words are those of its own captions, and whose layers
    are those that LocoGen finds there."""

    sites: Selection = "UP2,UP3"
    guide: str | None = None
    templates: tuple[str, ...] | None = None
    positions: Positions = "last"
    lamb: float = 0.01

    def __call__(
        self,
        model: Model,
        concept: Concept | Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept, or several in one solution; the model itself is left as it is, and the edit is returned.

        The denoiser is not run. Edits that are on the model stay on: W₀ is the weight as it is. progress: called with
        texts and weights done, and in all. checkpoint: not used, this is short.
        Raises BadArgument, EmptyConcept or EmptySelection for settings; NotFinite, naming the text or the weight.
        """
        concepts, scales = as_concepts(concept), Scales(self.lamb)
        names = key_and_value_weights(model, self.sites)
        pairs = [(text, self._guide(one)) for one in concepts for text in self._said(one)]
        texts = [text for pair in pairs for text in pair]
        tally = Tally(progress, len(set(texts)) + len(names))
        states = text_states(model, texts, self.positions, tally)
        shift = solve(*paired(states[::2], states[1::2]), scales=scales)
        return shifted(model, names, shift, provenance_of(self, model, concepts), tally)

    def _said(self, concept: Concept) -> list[Said]:
        published = STYLES if concept.kind in ("style", "artist") else FOUR
        return said(concept, published if self.templates is None else self.templates)

    def _guide(self, concept: Concept) -> Said:
        published = "a painting" if concept.kind in ("style", "artist") else "a photo"
        return Said(published if self.guide is None else self.guide)
