"""The objective that UCE and RECE share: which tokens are moved, where to, and what stays where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.edits import Edit, Provenance
from turpentine.erase._closed_form.linear import Map, Rows, Shift, gram
from turpentine.erase._closed_form.sentences import Positions, Said, said
from turpentine.erase._closed_form.text_states import in_batches, paired, text_states
from turpentine.erase.common import Tally
from turpentine.models import Model


@dataclass(frozen=True)
class Form:
    """A published form of unified concept editing.

    positions: the tokens of a concept that are keys, and those of its guide. kept_positions: those of a kept text.
    guide: what stands for a concept, and `guides` for those of some kinds. keeps_empty: is the empty prompt kept too.
    """

    positions: Positions
    kept_positions: Positions
    guide: str
    guides: Mapping[str, str] = field(default_factory=dict)
    keeps_empty: bool = False

    def preserve_scale(self, kept: int) -> float:
        """b by default, for so many kept texts."""
        return max(0.1, 1 / kept) if self.keeps_empty else 1.0


FORMS: Mapping[str, Form] = {
    "2025": Form("last", "last", "", {"style": "art", "artist": "art", "work": "art"}),
    "paper": Form("tail", "all", " ", keeps_empty=True),
}
"""By name: the authors' code of 2025, and that of their paper."""


@dataclass(frozen=True)
class Lesson:
    """Texts that are moved, each to its guide, and texts that are kept."""

    form: Form
    pairs: tuple[tuple[Said, Said], ...]
    kept: tuple[Said, ...]

    def __len__(self) -> int:
        """Distinct texts to encode."""
        return len({text for pair in self.pairs for text in pair}) + len(self.kept)

    def moved(self, model: Model, tally: Tally) -> tuple[Rows, Rows]:
        """Keys and guides, row by row."""
        pairs = self.pairs
        states = text_states(model, [text for pair in pairs for text in pair], self.form.positions, tally)
        return paired(states[::2], states[1::2])

    def held(self, model: Model, tally: Tally) -> Map | None:
        """Σ p·pᵀ over the kept texts."""
        return gram(
            torch.cat(text_states(model, batch, self.form.kept_positions, tally)) for batch in in_batches(self.kept)
        )


def lesson(
    form: Form, concepts: Sequence[Concept], *, guide: str | None, preserve: Sequence[str], templates: tuple[str, ...]
) -> Lesson:
    """What a form of unified concept editing teaches of some concepts.

    guide: what stands for all of them, None for the form's own. preserve: texts to keep, beside those of each concept.
    templates: in which the concepts and the kept texts are said.
    Raises BadArgument for a text that is both erased and kept.
    """
    _check_apart(concepts, preserve)
    pairs = [
        (text, Said(form.guides.get(concept.kind, form.guide) if guide is None else guide))
        for concept in concepts
        for text in said(concept, templates)
    ]
    kept = [
        text
        for concept in concepts
        for one in (*preserve, *concept.keep)
        for text in said(replace(concept, text=one), templates)
    ]
    empty = [Said("")] if form.keeps_empty else []
    return Lesson(form, tuple(dict.fromkeys(pairs)), tuple(dict.fromkeys([*empty, *kept])))


def _check_apart(concepts: Sequence[Concept], preserve: Sequence[str]) -> None:
    erased = {concept.text.lower() for concept in concepts}
    for text in (*preserve, *(text for concept in concepts for text in concept.keep)):
        if text.lower() in erased:
            raise BadArgument(f"{text!r} is to be erased and to be kept: leave it out of one of the two.")


def shifted(model: Model, names: Sequence[str], shift: Shift, provenance: Provenance, tally: Tally) -> Edit:
    """The edit that changes these weights by a shift of what they read. Raises NotFinite, naming the weight."""
    deltas = {}
    for name in names:
        deltas[name] = shift.change(model.parameter(name)).float()
        tally.add()
    return Edit(deltas, provenance)
