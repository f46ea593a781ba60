"""LocoEdit: the closed form on the few layers that a concept was located in (Basu et al. 2024, arXiv 2405.01008)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.concepts import Concept, Concepts
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Count, Positive, Text
from turpentine.erase._closed_form.subject_prompts import FOUR, Positions, SubjectPrompt, subject_prompts
from turpentine.erase.common import Sized, as_concepts, provenance_of
from turpentine.models import Selection

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.edits import Edit
    from turpentine.models import Model

STYLES = ("{}", "a painting in the style of {}", "a photo in the style of {}", "a picture in the style of {}")
"""The published templates for styles and artists; for the rest they are `subject_prompts.FOUR`."""


@dataclass(frozen=True)
class LocoEdit(Sized):
    """Make the keys and values of a few located cross-attention modules treat a concept as its guide.

    For each such weight W₀ it is the W that minimises Σ|W·k − W₀·g|² + λ·|W − W₀|², with k the state of a concept's
    last token in each of four templates, and g that of its guide: unified concept editing without anything preserved,
    on the layers that the concept is drawn by.

    With `neurons` n, of each weight only n rows change, its neurons whose outputs tell the concept's prompts from
    neutral ones best: with |z| largest, z the difference of the two means over √(s₁²/n₁ + s₂²/n₂), s their standard
    deviations; and the target of each key is the neutral mean of W₀·g. The authors' code (`neuron_modifications`) finds
    these neurons and means, 10 to 200 of four weights, by the last of 77 tokens. It is to put the means in while a
    picture is drawn, for all tokens of the prompt, in a line that is commented out; here the rows of the weights are
    solved for them, so that it is an edit.

    Args:
        sites: Labels of the modules, such as "UP2,UP3" or "MID", or any selection of sites, also by their names. The
            keys and values in it are edited. The default is the ninth and tenth of Stable Diffusion's 16, where the
            authors' code begins; another model, and another concept, has places of its own, which are to be located
            first.
        guide: A text that stands for all concepts; by default "a painting" for styles and artists, "a photo" for the
            rest.
        templates: Sentences with {} for the concept; by default the published four of its kind; with none, its own.
        positions: The tokens that are keys: "last", the concept's last; "end", it and the end; "tail", all from it on;
            "all", every one.
        lamb: How strongly weights stay near the original ones (λ).
        neurons: How many rows of each weight change; None for all.
        neutral: With `neurons`, prompts without the concept, two or more; by default its templates with the guide.

    Example:
        >>> edit = LocoEdit(sites="UP2")(model, Concept("church"))
        >>> [name.rpartition("attn2.")[2] for name in edit.names]
        ['to_k.weight', 'to_v.weight']
    """

    name: ClassVar[str] = "loco-edit"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "guide": "a picture", "sites": "UP5,UP6,UP7"}
    """Settings for models of the embedded one's size, whose few words are those of its own captions, and whose layers
    are those that LocoGen finds there."""

    sites: Selection = "UP2,UP3"
    guide: str | None = None
    templates: tuple[str, ...] | None = None
    positions: Positions = "last"
    lamb: Positive = 0.01
    neurons: Count | None = None
    neutral: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields, and that neurons can be told apart.

        Raises:
            BadArgument: A field is out of range, or there are neutral prompts without neurons, or a single one.
        """
        super().__post_init__()
        if self.neutral and self.neurons is None:
            raise BadArgument("Neutral prompts choose neurons: say how many neurons, or leave neutral out.")
        if len(self.neutral) == 1:
            raise BadArgument("One neutral prompt has no spread: give two or more.")

    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept or several. The denoiser is not run.

        Args:
            model: The model; it is not changed. Edits on it stay on: W₀ is the weight as it is.
            concept: One concept, or several erased in one solution.
            progress: Called with texts and weights done and in all.
            checkpoint: Not used: this is short.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range.
            EmptyConcept: There is no concept, or a text selects no token.
            EmptySelection: The sites hold no key or value of cross-attention.
            NotFinite: A state of a text, or a weight, is NaN or infinite; the message names it.
        """
        from turpentine.erase._closed_form.linear import Scales, solve
        from turpentine.erase._closed_form.text_states import align, key_and_value_weights, text_states
        from turpentine.erase._closed_form.uce_objective import shift_weights

        concepts, scales = as_concepts(concept), Scales(self.lamb)
        names = key_and_value_weights(model, self.sites)
        if self.neurons is not None:
            return self._neuron_edit(model, concepts, names, progress)
        pairs = [(prompt, self._guide(each)) for each in concepts for prompt in self._prompts(each)]
        prompts = [prompt for pair in pairs for prompt in pair]
        tracker = Tracker(progress, len(set(prompts)) + len(names))
        states = text_states(model, prompts, self.positions, advance=tracker.add)
        keys, targets = align(states[::2], states[1::2])
        shift = solve(keys, targets, scales=scales)
        return shift_weights(model, names, shift, provenance_of(self, model, concepts), advance=tracker.add)

    def _neuron_edit(
        self, model: Model, concepts: Sequence[Concept], names: Sequence[str], progress: Progress | None
    ) -> Edit:
        """Return the edit of the rows that tell the concepts from what is neutral."""
        import torch

        from turpentine.edits import Edit
        from turpentine.erase._closed_form.linear import Scales, solve
        from turpentine.erase._closed_form.text_states import text_states

        assert self.neurons is not None
        prompts = [[self._prompts(each), self._neutral(each)] for each in concepts]
        if any(len(part) < 2 for pair in prompts for part in pair):
            raise BadArgument("Neurons are told apart by a spread: give two templates and neutral prompts, or more.")
        tracker = Tracker(progress, len({one for pair in prompts for part in pair for one in part}) + len(names))
        every = text_states(
            model, [one for pair in prompts for part in pair for one in part], self.positions, advance=tracker.add
        )
        states = iter(every)
        pairs = [[torch.cat([next(states) for _ in part]) for part in pair] for pair in prompts]
        keys = torch.cat([k for k, _ in pairs])
        targets = torch.cat([g.mean(dim=0).expand_as(k) for k, g in pairs])
        shift, deltas = solve(keys, targets, scales=Scales(self.lamb)), {}
        for name in names:
            weight = model.parameter(name)
            w = weight.detach().to("cpu", torch.float64)
            z = torch.stack([_z_scores(k @ w.T, g @ w.T) for k, g in pairs]).amax(dim=0)
            is_chosen = torch.zeros(len(z), 1, dtype=torch.float64)
            is_chosen[z.topk(min(self.neurons, len(z))).indices] = 1
            deltas[name] = (shift.delta(weight) * is_chosen).float()
            tracker.add()
        return Edit(deltas, provenance_of(self, model, tuple(concepts)))

    def _neutral(self, concept: Concept) -> list[SubjectPrompt]:
        """Return the prompts that a concept's neurons are held against."""
        if self.neutral:
            return [SubjectPrompt(prompt) for prompt in self.neutral]
        guide = self._guide(concept).prompt
        return [SubjectPrompt(each.prompt.replace(concept.text, guide), guide) for each in self._prompts(concept)]

    def _prompts(self, concept: Concept) -> list[SubjectPrompt]:
        published = STYLES if concept.kind in ("style", "artist") else FOUR
        return subject_prompts(concept, published if self.templates is None else self.templates)

    def _guide(self, concept: Concept) -> SubjectPrompt:
        published = "a painting" if concept.kind in ("style", "artist") else "a photo"
        return SubjectPrompt(published if self.guide is None else self.guide)


def _z_scores(outputs: Tensor, neutral: Tensor) -> Tensor:
    """Return |z| of each neuron between its outputs (prompt, neuron) for two sets of prompts; 0 where both are one."""
    difference = (outputs.mean(dim=0) - neutral.mean(dim=0)).abs()
    error = outputs.var(dim=0, correction=0) / len(outputs) + neutral.var(dim=0, correction=0) / len(neutral)
    return (difference / error.sqrt()).nan_to_num(nan=0.0)
