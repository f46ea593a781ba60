"""LocoEdit: the closed form on the few layers that a concept was located in (Basu et al. 2024, arXiv 2405.01008)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.concepts import Concept, Concepts
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Positive
from turpentine.erase._closed_form.subject_prompts import FOUR, Positions, SubjectPrompt, subject_prompts
from turpentine.erase.common import Sized, as_concepts, provenance_of
from turpentine.models import Selection

if TYPE_CHECKING:
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
        pairs = [(prompt, self._guide(each)) for each in concepts for prompt in self._prompts(each)]
        prompts = [prompt for pair in pairs for prompt in pair]
        tracker = Tracker(progress, len(set(prompts)) + len(names))
        states = text_states(model, prompts, self.positions, advance=tracker.add)
        keys, targets = align(states[::2], states[1::2])
        shift = solve(keys, targets, scales=scales)
        return shift_weights(model, names, shift, provenance_of(self, model, concepts), advance=tracker.add)

    def _prompts(self, concept: Concept) -> list[SubjectPrompt]:
        published = STYLES if concept.kind in ("style", "artist") else FOUR
        return subject_prompts(concept, published if self.templates is None else self.templates)

    def _guide(self, concept: Concept) -> SubjectPrompt:
        published = "a painting" if concept.kind in ("style", "artist") else "a photo"
        return SubjectPrompt(published if self.guide is None else self.guide)
