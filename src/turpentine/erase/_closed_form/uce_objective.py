"""The objective that UCE and RECE share: which states are keys, what their targets are, and which are preserved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Advance, ignore
from turpentine.edits import Edit, Provenance
from turpentine.erase._captions import Captions, caption_pairs_of, preserved_captions
from turpentine.erase._closed_form.aligned import aligned_states
from turpentine.erase._closed_form.linear import Map, Rows, Scales, Shift, gram, solve
from turpentine.erase._closed_form.subject_prompts import Positions, SubjectPrompt, subject_prompts
from turpentine.erase._closed_form.text_states import align, in_batches, text_states
from turpentine.models import Model
from turpentine.models.reading import Reading


@dataclass(frozen=True)
class Form:
    """A published form of unified concept editing.

    Args:
        positions: The tokens of a concept that are keys, and those of its guide that are targets.
        preserved_positions: The tokens of a preserved prompt.
        guide: The text that stands for a concept.
        guides: The text that stands for a concept of some kinds.
        preserves_empty: Whether the empty prompt is preserved too.
        is_aligned: Whether each token of a caption has a target of its own, what stands there without the concept; the
            terms of the objective are then means over captions, not sums.
    """

    positions: Positions
    preserved_positions: Positions
    guide: str
    guides: Mapping[str, str] = field(default_factory=dict)
    preserves_empty: bool = False
    is_aligned: bool = False

    def preserve_scale(self, count: int) -> float:
        """Return the default b for `count` preserved prompts."""
        if self.is_aligned:
            return 0.1
        return max(0.1, 1 / count) if self.preserves_empty else 1.0


FORMS: Mapping[str, Form] = {
    "2025": Form("last", "last", "", {"style": "art", "artist": "art", "work": "art"}),
    "paper": Form("tail", "all", " ", preserves_empty=True),
    "aligned": Form("all", "all", "", preserves_empty=True, is_aligned=True),
}
"""By name: the authors' code of 2025, that of their paper, and this package's own."""


@dataclass(frozen=True)
class UCEObjective:
    """The prompts of an objective.

    Args:
        form: The published form that it follows.
        pairs: A concept's prompt and its guide each: the first's states are keys, the second's are their targets.
        preserved: Prompts whose states are preserved.
    """

    form: Form
    pairs: tuple[tuple[SubjectPrompt, SubjectPrompt], ...]
    preserved: tuple[SubjectPrompt, ...]

    @classmethod
    def of(
        cls,
        form: Form,
        concepts: Sequence[Concept],
        *,
        guide: str | Sequence[str] | None,
        preserve: Sequence[str],
        templates: tuple[str, ...],
        expand_guides: bool = False,
        captions: Captions = "own",
    ) -> UCEObjective:
        """Build the objective that erases some concepts.

        Args:
            form: A published form.
            concepts: The concepts to erase.
            guide: The text that stands for all of them, or one for each; None for the form's own.
            preserve: Texts to preserve, beside those that each concept names.
            templates: Sentences for the concepts and the preserved texts; with none, each concept's own.
            expand_guides: Whether guides are put into the sentences too.
            captions: Of the aligned form: those templates, or the embedded world's captions.

        Raises:
            BadArgument: A text is both erased and preserved, or there are not as many guides as concepts.
        """
        _check_apart(concepts, preserve)
        pairs = [
            pair
            for concept, text in zip(concepts, _guides(form, concepts, guide), strict=True)
            for pair in (
                _aligned_pairs(concept, text, templates, captions)
                if form.is_aligned
                else _pairs(concept, text, templates, expand_guides)
            )
        ]
        preserved = [
            prompt
            for concept in concepts
            for text in (*preserve, *concept.keep)
            for prompt in subject_prompts(replace(concept, text=text), templates)
        ]
        empty = [SubjectPrompt("")] if form.preserves_empty else []
        world = [SubjectPrompt(text) for text in preserved_captions(concepts, captions)]
        return cls(form, tuple(dict.fromkeys(pairs)), tuple(dict.fromkeys([*empty, *preserved, *world])))

    def __len__(self) -> int:
        """Number of distinct prompts to encode."""
        return len({prompt for pair in self.pairs for prompt in pair}) + len(self.preserved)

    def scales(self, lamb: float, erase: float, preserve: float | None) -> Scales:
        """Return λ, a and b for the sums of the solver, where the form has means over captions."""
        b = self.form.preserve_scale(len(self.preserved)) if preserve is None else preserve
        if not self.form.is_aligned:
            return Scales(lamb, erase, b)
        return Scales(lamb, erase / len(self.pairs), b / max(len(self.preserved), 1))

    def keys_and_targets(
        self, model: Model, *, reading: Reading | None = None, advance: Advance = ignore
    ) -> tuple[Rows, Rows]:
        """Return the keys and their targets, row by row, of a part of the text: by default the first."""
        if self.form.is_aligned:
            return aligned_states(model, self.pairs, reading or model.readings[0], advance=advance)
        return align(*self.states(model, self.form.positions, reading=reading, advance=advance))

    def states(
        self, model: Model, positions: Positions, *, reading: Reading | None = None, advance: Advance = ignore
    ) -> tuple[list[Rows], list[Rows]]:
        """Return the states of each pair's concept and of its guide at some positions, a block a prompt."""
        prompts = [prompt for pair in self.pairs for prompt in pair]
        states = text_states(model, prompts, positions, reading=reading, advance=advance)
        return states[::2], states[1::2]

    def preserved_gram(
        self, model: Model, *, readings: Sequence[Reading | None] = (None,), advance: Advance = ignore
    ) -> Map | None:
        """Return Σ p·pᵀ over the preserved states of parts of the text, by default the first; None if there is none."""
        positions = self.form.preserved_positions
        return gram(
            torch.cat(text_states(model, batch, positions, reading=reading, advance=advance))
            for reading in readings
            for batch in in_batches(self.preserved)
        )


def _guides(form: Form, concepts: Sequence[Concept], guide: str | Sequence[str] | None) -> Sequence[str]:
    """Return the text that stands for each concept."""
    if guide is None:
        return [form.guides.get(concept.kind, form.guide) for concept in concepts]
    if isinstance(guide, str):
        return [guide] * len(concepts)
    if len(guide) != len(concepts):
        raise BadArgument(f"{len(guide)} guides for {len(concepts)} concepts: give one for all, or one for each.")
    return guide


def _pairs(
    concept: Concept, guide: str, templates: tuple[str, ...], expand_guides: bool
) -> Iterator[tuple[SubjectPrompt, SubjectPrompt]]:
    """Yield each prompt of a concept with that of its guide."""
    for prompt in subject_prompts(concept, templates):
        if expand_guides:
            sentence = " ".join(prompt.prompt.replace(concept.text, guide).split())
            yield prompt, SubjectPrompt(sentence, guide.strip() or None)
        else:
            yield prompt, SubjectPrompt(guide)


def _aligned_pairs(
    concept: Concept, guide: str, templates: tuple[str, ...], captions: Captions
) -> Iterator[tuple[SubjectPrompt, SubjectPrompt]]:
    """Yield each caption of a concept with what is left of it without the concept."""
    for pair in caption_pairs_of(concept, captions, templates, guide):
        yield SubjectPrompt(pair.caption), SubjectPrompt(pair.rest)


def _check_apart(concepts: Sequence[Concept], preserve: Sequence[str]) -> None:
    erased = {concept.text.lower() for concept in concepts}
    for text in (*preserve, *(text for concept in concepts for text in concept.keep)):
        if text.lower() in erased:
            raise BadArgument(f"{text!r} is to be erased and to be kept: leave it out of one of the two.")


def edit_across(
    model: Model,
    names: Sequence[str],
    blocks: tuple[list[Rows], list[Rows]],
    preserved: Map | None,
    scales: Scales,
    provenance: Provenance,
    *,
    advance: Advance = ignore,
) -> Edit:
    """Return the edit whose targets lie across the old values: of each layer its own, W₀·g less its part along W₀·k.

    A prompt's tokens are one long vector: s = ⟨W₀·k, W₀·g⟩ / |W₀·k|² over all of them, and the target is W₀·(g − s·k).

    Args:
        model: The model.
        names: The weights to edit.
        blocks: Keys and targets of each prompt, as many rows in both.
        preserved: Σ p·pᵀ.
        scales: λ, a and b.
        provenance: Of the edit.
        advance: Called after each weight.

    Raises:
        NotFinite: A weight's change is NaN or infinite; the message names it.
    """
    deltas = {}
    for name in names:
        weight = model.parameter(name)
        w = weight.detach().to("cpu", torch.float64)
        across = []
        for k, g in zip(*blocks, strict=True):
            old, new = k @ w.T, g @ w.T
            across.append(g - (old * new).sum() / old.square().sum() * k)
        deltas[name] = solve(torch.cat(blocks[0]), torch.cat(across), preserved, scales=scales).delta(weight).float()
        advance(1)
    return Edit(deltas, provenance)


def shift_weights(
    model: Model, names: Sequence[str], shift: Shift, provenance: Provenance, *, advance: Advance = ignore
) -> Edit:
    """Return the edit that shifts what these weights read.

    Args:
        model: Whose weights they are.
        names: Of the weights.
        shift: How each is shifted.
        provenance: Of the edit.
        advance: Called with 1 for each weight that is done.

    Raises:
        NotFinite: A weight's shift is NaN or infinite; the message names it.
    """
    return Edit(shifted(model, names, shift, advance=advance), provenance)


def shifted(model: Model, names: Sequence[str], shift: Shift, *, advance: Advance = ignore) -> dict[str, Tensor]:
    """Return ΔW of these weights by name."""
    deltas = {}
    for name in names:
        deltas[name] = shift.delta(model.parameter(name)).float()
        advance(1)
    return deltas
