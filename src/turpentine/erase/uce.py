"""Unified Concept Editing: edit the keys and values of cross-attention in closed form (Gandikota et al. 2024)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from turpentine.concepts import Concepts
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import NonNegative, Positive
from turpentine.erase._captions import Captions
from turpentine.erase.common import Sized, as_concepts, provenance_of
from turpentine.models import Selection

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.edits import Edit
    from turpentine.erase._closed_form.linear import Scales, Shift
    from turpentine.erase._closed_form.uce_objective import UCEObjective
    from turpentine.models import Model
    from turpentine.models.reading import Reading


@dataclass(frozen=True)
class UCE(Sized):
    """Make the keys and values of cross-attention treat a concept as something harmless, in closed form.

    Where a model has no cross-attention, as Stable Diffusion 3, they are the weights by which its denoiser reads the
    text first: those that embed its tokens and its pooled vector, each with a solution of its own.

    For every such weight W₀, with k a state of the concept's text (the keys), g of the text that stands for it (the
    targets) and p of a text to preserve, it is the W that minimises
    a·Σ|W·k − W₀·g|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|² (equation 7 of arXiv 2308.14761). Any number of concepts is one
    solution, and one factorisation serves all weights.

    The authors published two forms, whose edits differ several times in size; results name theirs.

    "2025" (their later code): k is the concept's last token; g is that of "art" for styles, artists and works, and of
    the empty prompt, the start token, for the rest; nothing is preserved unless asked for; b is 1.

    "paper" (the paper's code, `uce-paper`): k is each token from the concept's last to the end of the padding, g those
    of " ", as many as both have; every token of the empty prompt is preserved too; b is the larger of 0.1 and 1/n for n
    preserved texts.

    A third form is this package's own:

    "aligned" (`uce-aligned`): k is each token of a caption that names the concept, g what stands in its place in the
    same caption without it ("a dog in ink style" and "a dog"); the target is W₀·(g + η·(g − k)), with η > 0 beyond what
    is left, away from the concept, as ESD's; the empty prompt is preserved too. Sums are means over captions; b is 0.1.

    Args:
        variant: The published form, "2025" or "paper", or "aligned".
        guide: A text that stands for all concepts, or one for each; by default the variant's. The aligned form puts it
            into its captions.
        expand_guides: Whether the templates are put around the guides too, as the authors' `--expand_prompts` does: the
            target of "a photo of church" is then "castle" in "a photo of castle" and not "castle" alone. Not in the
            aligned form, which always does.
        preserve: Texts to preserve, beside those that each concept names.
        erase_scale: How strongly the concept is erased (a).
        preserve_scale: How strongly the preserved texts are held (b); by default the variant's.
        lamb: How strongly weights stay near the original ones (λ).
        templates: Sentences for the concepts and the preserved texts, with {} for the text; with none, each concept's
            own.
        technique: What the paper's form makes of the guide: "replace", the targets are its values, as by default in the
            authors' code; "tensor", these without their part along the concept's own values, layer by layer.
        eta: η of the aligned form: 0 aims at what is left, more leads on, away from the concept.
        captions: Which captions the aligned form learns from: "own", those of the templates; "named", captions of the
            embedded world that name the concept, with captions of the rest of that world preserved; "implied", also
            those that imply it.
        sites: Labels of cross-attention modules, such as "UP2,UP3" or "DOWN?", * for all; or any selection of sites,
            also by their names. The keys and values in it are edited.

    Example:
        >>> edit = UCE()(model, Concept("church", keep=("house",)))
        >>> len(edit.names), edit.provenance.title
        (32, 'UCE (2025)')
    """

    name: ClassVar[str] = "uce"
    revision: ClassVar[str] = "3"

    small_world: ClassVar[Mapping[str, Any]] = {"templates": (), "guide": ""}
    """Settings for models of the embedded one's size, whose few words are those of its own captions: "art" is none."""

    small_world_by: ClassVar[Mapping[str, Mapping[Any, Mapping[str, Any]]]] = {
        "variant": {"aligned": {"captions": "named", "lamb": 0.1, "eta": 0.25}}
    }
    """Further settings for small models, by another one's value."""

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "uce-paper": {"variant": "paper"},
        "uce-aligned": {"variant": "aligned"},
    }
    """The names of the other forms, and what each sets."""

    variant: Literal["2025", "paper", "aligned"] = "2025"
    guide: str | tuple[str, ...] | None = None
    preserve: tuple[str, ...] = ()
    erase_scale: Positive = 1.0
    preserve_scale: NonNegative | None = None
    lamb: Positive = 0.5
    templates: tuple[str, ...] = ("{}",)
    technique: Literal["replace", "tensor"] = "replace"
    eta: NonNegative = 0.0
    captions: Captions = "own"
    expand_guides: bool = False
    sites: Selection = "*"

    def __post_init__(self) -> None:
        """Check the fields, and that the form has what is set.

        Raises:
            BadArgument: A field is out of range, or of another form.
        """
        super().__post_init__()
        self._check_form()

    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept or several. Each distinct text is encoded once; the denoiser is not run.

        Args:
            model: The model; it is not changed. Edits on it stay on: W₀ is the weight as it is.
            concept: One concept, or several erased in one solution.
            progress: Called with texts and weights done and in all.
            checkpoint: Not used: this is short.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range, or there are not as many guides as concepts.
            EmptyConcept: There is no concept, or a text selects no token.
            EmptySelection: The sites hold no weight that reads the text first.
            UnsupportedModel: The technique is for cross-attention, and the model has none.
            NotFinite: A state of a text, or a weight, is NaN or infinite; the message names it.
        """
        from turpentine.edits import Edit
        from turpentine.erase._closed_form.text_states import cut_alike, key_and_value_weights, reader_weights
        from turpentine.erase._closed_form.uce_objective import FORMS, UCEObjective, edit_across, shifted

        concepts, form = as_concepts(concept, model), FORMS[self.variant]
        objective = UCEObjective.of(
            form,
            concepts,
            guide=self.guide,
            preserve=self.preserve,
            templates=self.templates,
            expand_guides=self.expand_guides,
            captions=self.captions,
        )
        scales = objective.scales(self.lamb, self.erase_scale, self.preserve_scale)
        groups = reader_weights(model, self.sites)
        readings = [each for each in model.readings if each.what in groups]
        tracker = Tracker(progress, len(objective) * len(readings) + sum(map(len, groups.values())))
        if self.technique == "tensor":
            names = key_and_value_weights(model, self.sites)
            blocks = cut_alike(*objective.states(model, form.positions, advance=tracker.add))
            preserved = objective.preserved_gram(model, advance=tracker.add)
            provenance = provenance_of(self, model, concepts)
            return edit_across(model, names, blocks, preserved, scales, provenance, advance=tracker.add)
        deltas: dict[str, Tensor] = {}
        for what, names in groups.items():
            parts = [each for each in readings if each.what == what]
            shift = self._shift(model, objective, parts, scales, tracker)
            deltas |= shifted(model, names, shift, advance=tracker.add)
        return Edit(deltas, provenance_of(self, model, concepts))

    def _shift(
        self, model: Model, objective: UCEObjective, readings: Sequence[Reading], scales: Scales, tracker: Tracker
    ) -> Shift:
        """Return the solution for all weights that read the same parts of the text. A bias cancels in its objective."""
        import torch

        from turpentine.erase._closed_form.linear import solve

        pairs = [objective.keys_and_targets(model, reading=each, advance=tracker.add) for each in readings]
        keys, targets = (torch.cat(rows) for rows in zip(*pairs, strict=True))
        targets = targets + self.eta * (targets - keys)
        preserved = objective.preserved_gram(model, readings=readings, advance=tracker.add)
        return solve(keys, targets, preserved, scales=scales)

    def _check_form(self) -> None:
        """Refuse settings that the form would pass over."""
        is_aligned = self.variant == "aligned"
        if self.technique == "tensor" and self.variant != "paper":
            raise BadArgument(f"The form {self.variant} has no technique tensor: leave it out, or take paper.")
        if self.captions != "own" and not is_aligned:
            raise BadArgument(f"The form {self.variant} has no captions: leave {self.captions!r} out, or take aligned.")
        if self.eta and not is_aligned:
            raise BadArgument(
                f"UCE's form {self.variant} has no eta, it has erase_scale, preserve_scale and lamb: leave eta out, or "
                "take aligned."
            )
        if self.captions != "own" and self.guide:
            raise BadArgument(f"The captions {self.captions!r} say what is left of them: leave the guide out.")
        if self.expand_guides and is_aligned:
            raise BadArgument("The aligned form puts guides into its captions anyway: leave expand_guides out.")
