"""RECE: unified concept editing, again and again against what undoes it (Gong et al. 2024, arXiv 2407.12383)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.edits import Edit
from turpentine.erase._closed_form.linear import Rows, Scales, Shift, solve
from turpentine.erase._closed_form.text_states import key_and_value_weights, text_states
from turpentine.erase._closed_form.uce_objective import FORMS, Lesson, lesson, shifted
from turpentine.erase.adversary import Adversary, Regulariser, answers
from turpentine.erase.common import Sized, Tally, as_concepts, provenance_of
from turpentine.models import Model, Selection

START = FORMS["paper"]
"""What the first edit is; its λ is 0.5 and its a is 1."""


@dataclass(frozen=True)
class RECE(Sized):
    """Erase by unified concept editing; then, in rounds, find the embedding that undoes it and erase that too.

    The first edit is the paper's form of UCE. Each round finds, for every token's state c of the concept's text, the c′
    that minimises Σ|W′·c′ − W·c|² + r·R(c′) over the keys and values of cross-attention, W′ as edited so far and W the
    original; and edits again, so that c′ too is answered as the guide is: the W that minimises
    a·Σ|W·k − W₀·g|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|².

    With `anchor` "original" W₀ is the original weight and k all that was found in all rounds, so that edits do not add
    up and what is kept is kept for good. The authors' code starts each round from the weights of the last one and holds
    them to those, "edited": k is then what this round has found.

    rounds: after the first edit, 1 or more; the paper takes 3 for nudity and 5 for objects.
    regulariser: R: "zero" for |c′|², "target" for |c′ − g|², "surrogate" for Σ|W′·c′ − W′·c|² + |c′ − c|².
    ridge: r, above 0; 0.1 as published, 0.001 for concepts that are hard to erase.
    anchor: "original" or "edited".
    guide: a text that stands for all concepts. preserve: texts to keep, beside those that each concept names and the
        empty prompt.
    erase_scale: a, above 0. preserve_scale: b, 0 or more. lamb: λ, above 0.
    templates: sentences in which concepts and kept texts are said, with {} for the text; with none, the concept's.
    sites: labels of cross-attention modules, such as "UP2,UP3" or "DOWN?", * for all; or any selection of sites, also
        by their names; the keys and values in it count.
    """

    name: ClassVar[str] = "rece"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "rounds": 1, "preserve_scale": 1.0}
    """Settings for models of the embedded one's size, whose captions name things in ways of their own, and where each
    round takes more of the other concepts along."""

    rounds: int = 5
    regulariser: Regulariser = "zero"
    ridge: float = 0.1
    anchor: Literal["original", "edited"] = "original"
    guide: str = " "
    preserve: tuple[str, ...] = ()
    erase_scale: float = 1.0
    preserve_scale: float = 0.1
    lamb: float = 0.1
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
        """Erase one concept, or several together; the model itself is left as it is, and the edit is returned.

        Its provenance has, as `found`, how much of the concept's old keys and values the embedding recovered, of 1:
        before each round and after the last. The denoiser is not run. Edits that are on the model stay on: the original
        is the weight as it is. progress: called with texts, rounds and weights done, and in all. checkpoint: not used,
        this is short.
        Raises BadArgument, EmptyConcept or EmptySelection for settings; NotFinite, naming the text or the weight.
        """
        if self.rounds < 1:
            raise BadArgument(f"rounds is {self.rounds}: give 1 or more.")
        concepts = as_concepts(concept)
        scales = Scales(self.lamb, self.erase_scale, self.preserve_scale)
        taught = lesson(START, concepts, guide=self.guide, preserve=self.preserve, templates=self.templates)
        names = key_and_value_weights(model, self.sites)
        tally = Tally(progress, 2 * len(taught) - len(taught.kept) + self.rounds + len(names))
        adversary = Adversary(answers({name: model.parameter(name) for name in names}), self.regulariser, self.ridge)
        shift, recovered = self._rounds(model, taught, adversary, scales, tally)
        return shifted(model, names, shift, provenance_of(self, model, concepts, {"recovered": recovered}), tally)

    def _rounds(
        self, model: Model, taught: Lesson, adversary: Adversary, scales: Scales, tally: Tally
    ) -> tuple[Shift, tuple[float, ...]]:
        """The first edit, then the rounds: D in the end, and what could be recovered on the way."""
        c, g = _all_states(model, taught, tally)
        keys, guides = taught.moved(model, tally)
        kept = taught.held(model, tally)
        a = solve(keys, guides, kept, scales=Scales(0.5, 1.0, START.preserve_scale(len(taught.kept)))).read
        recovered = []
        for _ in range(self.rounds):
            found = adversary.embedding(a, c, g)
            recovered.append(adversary.recovered(a, c, found))
            if self.anchor == "edited":
                a = a @ solve(found, g, kept, scales=scales).read
            else:
                keys, guides = torch.cat([keys, found]), torch.cat([guides, g])
                a = solve(keys, guides, kept, scales=scales).read
            tally.add()
        recovered.append(adversary.recovered(a, c, adversary.embedding(a, c, g)))
        return Shift((a - torch.eye(len(a), dtype=a.dtype),)), tuple(recovered)


def _all_states(model: Model, taught: Lesson, tally: Tally) -> tuple[Rows, Rows]:
    """c and g: the states of all tokens of each moved text, and those of its guide."""
    states = text_states(model, [text for pair in taught.pairs for text in pair], "all", tally)
    return torch.cat(states[::2]), torch.cat(states[1::2])
