"""RECE: unified concept editing, repeated against the embedding that undoes it (Gong et al. 2024, arXiv 2407.12383)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from turpentine.concepts import Concepts
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Count, NonNegative, Positive
from turpentine.erase.common import Sized, as_concepts, provenance_of
from turpentine.models import Selection

if TYPE_CHECKING:
    from turpentine.edits import Edit
    from turpentine.erase._closed_form.linear import Scales, Shift
    from turpentine.erase._closed_form.uce_objective import UCEObjective
    from turpentine.erase.adversary import Adversary
    from turpentine.models import Model

START = "paper"
"""The form of UCE that the first edit is; its λ is 0.5 and its a is 1."""


@dataclass(frozen=True)
class RECE(Sized):
    """Erase by unified concept editing; then, in rounds, find the embedding that undoes it and erase that too.

    The first edit is the paper's form of UCE. Each round finds, for every token's state c of the concept's text, the c′
    that minimises Σ|W′·c′ − W·c|² + r·R(c′) over the keys and values of cross-attention, W′ as edited so far and W the
    original; and edits again with c′ as a further key: the W that minimises
    a·Σ|W·k − W₀·g|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|².

    With `anchor` "original" W₀ is the original weight and k the keys of all rounds, so that edits do not add up and
    what is preserved stays preserved. The authors' code starts each round from the weights of the last one, "edited": k
    is then this round's c′ only.

    Args:
        rounds: Rounds after the first edit; the paper takes 3 for nudity and 5 for objects.
        regulariser: R: "zero" for |c′|², "target" for |c′ − g|², "surrogate" for Σ|W′·c′ − W′·c|² + |c′ − c|²; of this
            sum "surrogate-layers" has the first term alone, as `--reg_item 1st` of the authors' code, their default
            within it, and "surrogate-state" the second, as `2nd`.
        ridge: How strongly the attack is held back (r); 0.1 as published, 0.001 for concepts that are hard to erase.
        anchor: Which weights each round starts from: the "original" ones, or those "edited" so far.
        guide: A text that stands for all concepts.
        preserve: Texts to preserve, beside those that each concept names and the empty prompt.
        erase_scale: How strongly the concept is erased (a).
        preserve_scale: How strongly the preserved texts are held (b).
        lamb: How strongly weights stay near the original ones (λ).
        templates: Sentences for the concepts and the preserved texts, with {} for the text; with none, each concept's
            own.
        sites: Labels of cross-attention modules, such as "UP2,UP3" or "DOWN?", * for all; or any selection of sites,
            also by their names. The keys and values in it are edited.

    Example:
        >>> edit = RECE(rounds=1)(model, Concept("church"))
        >>> len(edit.names), list(edit.provenance.measurements)
        (32, ['recovered'])
    """

    name: ClassVar[str] = "rece"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "rounds": 1, "preserve_scale": 1.0}
    """Settings for models of the embedded one's size, whose captions name things in ways of their own, and where each
    round takes more of the other concepts along."""

    rounds: Count = 5
    regulariser: Literal["zero", "target", "surrogate", "surrogate-layers", "surrogate-state"] = "zero"
    ridge: Positive = 0.1
    anchor: Literal["original", "edited"] = "original"
    guide: str = " "
    preserve: tuple[str, ...] = ()
    erase_scale: Positive = 1.0
    preserve_scale: NonNegative = 0.1
    lamb: Positive = 0.1
    templates: tuple[str, ...] = ("{}",)
    sites: Selection = "*"

    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept or several. The denoiser is not run.

        The provenance's measurements hold `recovered`: the share, up to 1, of the concept's old keys and values that
        the embedding recovered before each round and after the last.

        Args:
            model: The model; it is not changed. Edits on it stay on: W₀ is the weight as it is.
            concept: One concept, or several erased in one solution.
            progress: Called with texts, rounds and weights done and in all.
            checkpoint: Not used: this is short.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range.
            EmptyConcept: There is no concept, or a text selects no token.
            EmptySelection: The sites hold no key or value of cross-attention.
            NotFinite: A state of a text, or a weight, is NaN or infinite; the message names it.
        """
        from turpentine.erase._closed_form.linear import Scales
        from turpentine.erase._closed_form.text_states import key_and_value_weights
        from turpentine.erase._closed_form.uce_objective import FORMS, UCEObjective, shift_weights
        from turpentine.erase.adversary import Adversary, weights_gram

        concepts = as_concepts(concept)
        scales = Scales(self.lamb, self.erase_scale, self.preserve_scale)
        objective = UCEObjective.of(
            FORMS[START], concepts, guide=self.guide, preserve=self.preserve, templates=self.templates
        )
        names = key_and_value_weights(model, self.sites)
        encoded = 2 * len(objective) - len(objective.preserved)
        tracker = Tracker(progress, encoded + self.rounds + len(names))
        h = weights_gram({name: model.parameter(name) for name in names})
        shift, recovered = self._rounds(model, objective, Adversary(h, self.regulariser, self.ridge), scales, tracker)
        provenance = provenance_of(self, model, concepts, {"recovered": recovered})
        return shift_weights(model, names, shift, provenance, advance=tracker.add)

    def _rounds(
        self, model: Model, objective: UCEObjective, adversary: Adversary, scales: Scales, tracker: Tracker
    ) -> tuple[Shift, tuple[float, ...]]:
        """Return the shift D of all rounds, and the share recovered before each round and at the end."""
        import torch

        from turpentine.erase._closed_form.linear import Scales, Shift, solve

        c, g = (torch.cat(states) for states in objective.states(model, "all", advance=tracker.add))
        keys, targets = objective.keys_and_targets(model, advance=tracker.add)
        preserved = objective.preserved_gram(model, advance=tracker.add)
        first = Scales(0.5, 1.0, objective.form.preserve_scale(len(objective.preserved)))
        a = solve(keys, targets, preserved, scales=first).input_map
        recovered = []
        for _ in range(self.rounds):
            embedding = adversary.embedding(a, c, g)
            recovered.append(adversary.recovered(a, c, embedding))
            if self.anchor == "edited":
                a = a @ solve(embedding, g, preserved, scales=scales).input_map
            else:
                keys, targets = torch.cat([keys, embedding]), torch.cat([targets, g])
                a = solve(keys, targets, preserved, scales=scales).input_map
            tracker.add()
        recovered.append(adversary.recovered(a, c, adversary.embedding(a, c, g)))
        return Shift((a - torch.eye(len(a), dtype=a.dtype),)), tuple(recovered)
