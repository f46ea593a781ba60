"""DiffQuickFix: one layer of the text encoder in closed form (Basu et al. 2023, arXiv 2310.13730)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types as at

from turpentine.concepts import Concept, Concepts
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Advance, Progress, Tracker
from turpentine.core.settings import Positive, Text
from turpentine.erase._closed_form.subject_prompts import FOUR, Positions, SubjectPrompt, subject_prompts
from turpentine.erase.common import Sized, as_concepts, provenance_of

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.edits import Edit
    from turpentine.erase._closed_form.linear import Rows
    from turpentine.models import Call, Model, Site


@dataclass(frozen=True)
class DiffQuickFix(Sized):
    """Make a text encoder's first self-attention take a concept for its anchor, in closed form.

    W₀ is the layer's output projection (`self_attn.out_proj`), k its input at the concept's last token and g that at
    the anchor's in the same template: it is the W that minimises Σ|W·k − W₀·g|² + λ·|W − W₀|². Its bias b is in both
    outputs, W₀·k + b and W₀·g + b, and drops out; the authors' code adds it to what is wanted of W too, so that it
    counts twice there. Causal tracing finds this layer to be the one place in the text encoder that holds a concept. A
    pipeline with two text encoders has both changed, each by its own solution.

    Args:
        anchor: What the concept is replaced by, such as "castle" for a church; by default "painting" for styles and
            artists and "object" for the rest.
        templates: Sentences with {} for the concept or the anchor; by default the published four; with none, the
            concept's.
        positions: The tokens that are keys: "last", the concept's last; "end", it and the end; "tail", all from it on,
            as in the authors' code; "all", every one.
        surplus: With "tail", what becomes of a concept's last keys where its anchor has more tokens and so a shorter
            tail: "drop", they are no keys; "repeat", as in the authors' code, the anchor's last target is theirs too.
        layer: Which layer of the text encoder, counted from 0.
        lamb: How strongly weights stay near the original ones (λ).

    Example:
        >>> DiffQuickFix(anchor="castle")(model, Concept("church")).names
        ('text_encoder.encoder.layers.0.self_attn.out_proj.weight',)
    """

    name: ClassVar[str] = "diff-quickfix"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "anchor": "picture"}
    """Settings for models of the embedded one's size, whose few words are those of its own captions."""

    anchor: Text | None = None
    templates: tuple[str, ...] = FOUR
    positions: Positions = "last"
    surplus: Literal["drop", "repeat"] = "drop"
    layer: Annotated[int, at.Ge(0)] = 0
    lamb: Positive = 0.01

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            BadArgument: A field is out of range, or keys cannot be in surplus where they are to be repeated.
        """
        super().__post_init__()
        if self.surplus == "repeat" and self.positions != "tail":
            raise BadArgument(f"Only the tail has keys in surplus, and positions is {self.positions!r}: leave it out.")

    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Replace one concept or several by their anchors. The denoiser is not run.

        Args:
            model: The model; it is not changed. Edits on it stay on: W₀ is the weight as it is.
            concept: One concept, or several erased in one solution.
            progress: Called with texts done and in all.
            checkpoint: Not used: this is short.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range.
            EmptyConcept: There is no concept, or a text selects no token.
            EmptySelection: The text encoder has no such layer.
            NotFinite: A state of a text, or a weight, is NaN or infinite; the message names it.
        """
        from turpentine.edits import Edit
        from turpentine.erase._closed_form.linear import Scales, solve
        from turpentine.erase._closed_form.text_states import align

        concepts, scales = as_concepts(concept), Scales(self.lamb)
        attention = model.sites.only(kind="text-attention", role="output", level="layer")
        sites = tuple(attention.only(name=f"*.layers.{self.layer}.*"))
        prompts = [prompt for each in concepts for pair in self._pairs(each) for prompt in pair]
        tracker = Tracker(progress, len(set(prompts)))
        inputs = _inputs(model, sites, prompts, self.positions, advance=tracker.add)
        deltas = {}
        for site in sites:
            states, weight = [inputs[site][prompt] for prompt in prompts], f"{site.name}.weight"
            keys, targets = align(states[::2], states[1::2], repeats=self.surplus == "repeat")
            deltas[weight] = solve(keys, targets, scales=scales).delta(model.parameter(weight)).float()
        return Edit(deltas, provenance_of(self, model, concepts))

    def _pairs(self, concept: Concept) -> list[tuple[SubjectPrompt, SubjectPrompt]]:
        """Return the concept in each template, and the anchor in the same one."""
        published = "painting" if concept.kind in ("style", "artist") else "object"
        anchor = replace(concept, text=published if self.anchor is None else self.anchor)
        return list(zip(subject_prompts(concept, self.templates), subject_prompts(anchor, self.templates), strict=True))


def _inputs(
    model: Model, sites: Sequence[Site], prompts: Sequence[SubjectPrompt], positions: Positions, advance: Advance
) -> dict[Site, dict[SubjectPrompt, Rows]]:
    """Return the inputs of the text encoders' layers at some tokens, by site and prompt."""
    from turpentine.erase._closed_form.text_states import in_batches, token_states
    from turpentine.models import hooked

    inputs: dict[Site, dict[SubjectPrompt, Rows]] = {site: {} for site in sites}
    recorded: dict[Site, Tensor] = {}

    def record(call: Call) -> None:
        recorded[call.site] = call.args[0]

    for batch in in_batches(tuple(dict.fromkeys(prompts))):
        with hooked(model, dict.fromkeys(sites, record)):
            model.encode([each.prompt for each in batch])
        for site, states in recorded.items():
            places = [model.text.find(each.prompt, each.subject, encoder=site.component) for each in batch]
            rows = [token_states(*each, positions) for each in zip(states, batch, places, strict=True)]
            inputs[site] |= zip(batch, rows, strict=True)
        advance(len(batch))
    return inputs
