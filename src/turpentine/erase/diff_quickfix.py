"""Diff-QuickFix: one layer of the text encoder in closed form (Basu et al. 2023, arXiv 2310.13730)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.edits import Edit
from turpentine.erase._closed_form.linear import Rows, Scales, solve
from turpentine.erase._closed_form.text_states import FOUR, Positions, Said, chosen, in_batches, paired, said
from turpentine.erase.common import Sized, Tally, as_concepts, provenance_of
from turpentine.models import Call, Model, Site, hooked


@dataclass(frozen=True)
class DiffQuickFix(Sized):
    """Diff-QuickFix: make a text encoder's first self-attention take a concept for its anchor, in closed form.

    W₀ is the layer's output projection (`self_attn.out_proj`), k its input at the concept's last token and g that at
    the anchor's in the same template: the W that minimises Σ|W·k − W₀·g|² + λ·|W − W₀|². Its bias b is in both answers,
    W₀·k + b and W₀·g + b, and drops out. Causal tracing finds this layer to be the one place in the text encoder that
    holds a concept. A pipeline with two text encoders has both changed, each by its own solution.

    anchor: what the concept is replaced by, such as "castle" for a church; by default "painting" for styles and artists
        and "object" for the rest.
    templates: sentences with {} for the concept or the anchor; by default the published four; with none, the concept's.
    positions: the tokens that are keys: "last", the concept's last; "end", it and the end; "tail", all from it on, as
        in the authors' code; "all", every one.
    layer: of the text encoder, from 0. lamb: λ, above 0.
    """

    name: ClassVar[str] = "diff-quickfix"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "anchor": "picture"}
    """Settings for models of the embedded one's size, whose few words are those of its own captions."""

    anchor: str | None = None
    templates: tuple[str, ...] = FOUR
    positions: Positions = "last"
    layer: int = 0
    lamb: float = 0.01

    def __call__(
        self,
        model: Model,
        concept: Concept | Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Replace one concept, or several in one solution; the model itself is left as it is, the edit is returned.

        The denoiser is not run. Edits that are on the model stay on: W₀ is the weight as it is. progress: called with
        texts done and in all. checkpoint: not used, this is short.
        Raises BadArgument, EmptyConcept or EmptySelection for settings; NotFinite, naming the text or the weight.
        """
        concepts, scales = as_concepts(concept), Scales(self.lamb)
        sites = tuple(model.sites.only(level="layer", name=f"text_encoder*.layers.{self.layer}.self_attn.out_proj"))
        texts = [text for one in concepts for pair in self._pairs(one) for text in pair]
        read = _inputs(model, sites, texts, self.positions, Tally(progress, len(set(texts))))
        deltas = {}
        for site in sites:
            states, weight = [read[site][text] for text in texts], f"{site.name}.weight"
            shift = solve(*paired(states[::2], states[1::2]), scales=scales)
            deltas[weight] = shift.change(model.parameter(weight)).float()
        return Edit(deltas, provenance_of(self, model, concepts))

    def _pairs(self, concept: Concept) -> list[tuple[Said, Said]]:
        """The concept in each template, and the anchor in the same one."""
        if self.anchor is not None and not self.anchor.strip():
            raise BadArgument("anchor is empty: name what the concept is replaced by, or leave it out.")
        published = "painting" if concept.kind in ("style", "artist") else "object"
        anchor = replace(concept, text=published if self.anchor is None else self.anchor)
        return list(zip(said(concept, self.templates), said(anchor, self.templates), strict=True))


def _inputs(
    model: Model, sites: Sequence[Site], texts: Sequence[Said], positions: Positions, tally: Tally
) -> dict[Site, dict[Said, Rows]]:
    """What layers of the text encoders read of texts at some positions, by site and text; each text is encoded once."""
    read: dict[Site, dict[Said, Rows]] = {site: {} for site in sites}
    caught: dict[Site, Tensor] = {}

    def catch(call: Call) -> None:
        caught[call.site] = call.args[0]

    for batch in in_batches(tuple(dict.fromkeys(texts))):
        with hooked(model, dict.fromkeys(sites, catch)):
            model.encode([text.prompt for text in batch])
        for site, states in caught.items():
            tokenizer = _tokenizer(model, site)
            rows = [chosen(row, text, positions, tokenizer) for row, text in zip(states, batch, strict=True)]
            read[site] |= zip(batch, rows, strict=True)
        tally.add(len(batch))
    return read


def _tokenizer(model: Model, site: Site) -> Any:
    """That of the text encoder which the site is in: `tokenizer_2` for `text_encoder_2`."""
    return getattr(model.pipeline, site.name.partition(".")[0].replace("text_encoder", "tokenizer"))
