"""UCE's debiasing: a concept is led towards attributes until its pictures show them in given ratios."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import annotated_types as at

from turpentine.concepts import Concept, Concepts
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Count, Finite, NonNegative, Positive, Seed, Share, Text
from turpentine.erase.common import Sized, as_concepts, checkpoint_of, provenance_of
from turpentine.models import Selection

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.core.parts import Parts, Tensors
    from turpentine.edits import Edit
    from turpentine.judges.zero_shot import ZeroShot
    from turpentine.models import Model

CLIP = "openai/clip-vit-base-patch32"
"""What the authors judge pictures by."""


@dataclass(frozen=True)
class UCEDebias(Sized):
    """Lead a concept towards attributes, in closed form, until its pictures show each in its ratio.

    For every key and value weight W₀ of cross-attention it is the W that minimises
    a·Σ|W·k − W₀·(k + Σ αⱼ·gⱼ)|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|², with k the last token of the concept's text, gⱼ that
    of attribute j and p of a text to preserve (Gandikota et al. 2024, arXiv 2308.14761, section 4.2). α begins at 0. In
    each round pictures of the concept are drawn with the edit so far and CLIP says which attribute each shows; with rⱼ
    the share that shows attribute j and dⱼ the one wanted, αⱼ ← αⱼ + s·(dⱼ − rⱼ). A concept whose shares are all within
    a tolerance of the ratios stays as it is for that round; when all are, it is done. Nothing is erased: what a run of
    `turpentine erase` reports as left of the concept is meant to be all of it.

    This is the authors' later code (`uce_sd_debias.py`), where `--step_size` 0.1 is read and not used, so that s is 1.
    The paper's code differs: all tokens to the end of the padding, each attribute's values scaled to the length of the
    concept's, s 0.1, each round on the weights of the last one, and a concept is preserved once it is within the
    tolerance. The authors draw new noise in each round; so does this, from seeds that follow one another.

    Args:
        attributes: Two or more texts, such as "male" and "female"; pictures are judged by them too.
        ratios: In which proportion the attributes should show, one number for each; by default all alike.
        tolerance: How far a share may be from its ratio.
        step: s.
        rounds: Rounds at most. The edit of the last one is not judged.
        pictures: Pictures of each concept in a round; its sentences take turns.
        sampling_steps: Steps of DDIM for a picture.
        guidance_scale: How strongly the prompt guides.
        clip_model: The CLIP that judges: a folder or hub id, or "emoji".
        label_templates: Sentences in which the attributes are put to CLIP, with {} for the text.
        preserve: Texts to preserve, beside those that each concept names.
        edit_scale: How strongly the concept is led (a).
        preserve_scale: How strongly the preserved texts are held (b).
        lamb: How strongly weights stay near the original ones (λ).
        templates: Sentences for the concepts and the preserved texts, with {} for the text; with none, each concept's
            own.
        sites: Labels of cross-attention modules, such as "UP2,UP3" or "DOWN?", * for all; or any selection of sites,
            also by their names. The keys and values in it are edited.
        batch_size: Pictures in a call of the denoiser, at most; a matter of memory.
        seed: The seed of the first picture.

    Example:
        >>> method = UCEDebias(("house", "dog"), rounds=1, pictures=2, sampling_steps=2, clip_model="emoji")
        >>> edit = method(model, Concept("church"))
        >>> len(edit.names), edit.provenance.measurements["rounds"]
        (32, 1)
    """

    name: ClassVar[str] = "uce-debias"

    small_world: ClassVar[Mapping[str, Any]] = {
        "attributes": ("ink style", "flat style"),
        "guidance_scale": 4.0,
        "clip_model": "emoji",
        "label_templates": ("{}",),
        "templates": (),
    }
    """Settings for models of the embedded one's size, whose few words are those of its own captions."""

    attributes: Annotated[tuple[Text, ...], at.MinLen(2)] = ("male", "female")
    ratios: tuple[NonNegative, ...] = ()
    tolerance: Share = 0.05
    step: Positive = 1.0
    rounds: Count = 30
    pictures: Count = 10
    sampling_steps: Count = 20
    guidance_scale: Finite = 7.5
    clip_model: Text = CLIP
    label_templates: tuple[Text, ...] = ("This is a photo of {}.",)
    preserve: tuple[str, ...] = ()
    edit_scale: Positive = 1.0
    preserve_scale: NonNegative = 1.0
    lamb: Positive = 0.5
    templates: tuple[str, ...] = ("{}",)
    sites: Selection = "*"
    batch_size: Count = 8
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check the fields, and that they go together.

        Raises:
            BadArgument: A field is out of range, an attribute is there twice, or there are not as many ratios as
                attributes, or none over 0.
        """
        super().__post_init__()
        if len({text.lower() for text in self.attributes}) < len(self.attributes):
            raise BadArgument("An attribute is there twice: give each once.")
        if self.ratios and (len(self.ratios) != len(self.attributes) or not any(self.ratios)):
            many = f"{len(self.ratios)} ratios for {len(self.attributes)} attributes"
            raise BadArgument(f"{many}: give one for each, some of them over 0, or none for all alike.")
        if not self.label_templates:
            raise BadArgument("There is no sentence for the attributes: give one with {}, such as '{}'.")
        Concept("concept", templates=self.label_templates)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the pictures that each attribute should have; they sum to 1.

        Example:
            >>> UCEDebias(("dog", "cat"), ratios=(3, 1)).shares
            (0.75, 0.25)
        """
        ratios = self.ratios or (1.0,) * len(self.attributes)
        return tuple(ratio / sum(ratios) for ratio in ratios)

    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Debias one concept or several, in one solution.

        A round draws `pictures` pictures of each concept. The provenance's measurements hold the number of `rounds`
        judged, and for each concept the `first` and `last` shares of the attributes and their α, `alpha`.

        Args:
            model: The model; it is not changed. Edits on it stay on: W₀ is the weight as it is.
            concept: One concept, or several.
            progress: Called with pictures drawn and to draw at most; a run that needs fewer ends at once.
            checkpoint: A folder to save each round's shares in. The same call with it goes on from the last.

        Returns:
            The edit.

        Raises:
            BadArgument: A concept is an attribute, or to be kept, too.
            EmptyConcept: There is no concept, or a text selects no token.
            EmptySelection: The sites hold no key or value of cross-attention.
            ModelNotFound: The CLIP model is not here.
            NotFinite: A state of a text, or a weight, is NaN or infinite; the message names it.
        """
        from turpentine.erase._closed_form.uce_objective import shift_weights

        concepts = as_concepts(concept, model)
        self._check_apart(concepts)
        for text in self.attributes:
            model.text.check_words(text)
        solution = _Solution.of(self, model, concepts)
        tracker = Tracker(progress, self.rounds * self.pictures * len(concepts))
        parts = checkpoint_of(checkpoint, model, provenance_of(self, model, concepts))
        alpha, measured = self._rounds(model, concepts, solution, parts, tracker)
        tracker.reach(tracker.total)
        measurements = {
            "rounds": len(measured),
            "first": _nested(measured[0]),
            "last": _nested(measured[-1]),
            "alpha": _nested(alpha),
        }
        provenance = provenance_of(self, model, concepts, measurements)
        return shift_weights(model, solution.names, solution.shift(alpha), provenance)

    def _rounds(
        self,
        model: Model,
        concepts: Sequence[Concept],
        solution: _Solution,
        parts: Parts[Tensors],
        tracker: Tracker,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return α (concept, attribute), and the shares that each round measured."""
        import torch

        labeller, provenance = self._labeller(), provenance_of(self, model, tuple(concepts))
        ratios = torch.tensor(self.shares, dtype=torch.float64)
        alpha, measured = torch.zeros(len(concepts), len(ratios), dtype=torch.float64), []
        for index in range(self.rounds):

            def measure(index: int = index, alpha: Tensor = alpha) -> Tensors:
                edit = solution.edit(model, alpha, provenance)
                with edit.on(model):
                    return {"shares": self._measure(model, concepts, index, labeller, tracker)}

            measured.append(parts.part(f"round-{index}", measure)["shares"])
            tracker.reach((index + 1) * self.pictures * len(concepts))
            gap = ratios - measured[-1]
            is_off = gap.abs().amax(dim=1, keepdim=True) >= self.tolerance
            if not is_off.any():
                break
            alpha = alpha + self.step * gap * is_off
        return alpha, measured

    def _measure(
        self, model: Model, concepts: Sequence[Concept], index: int, labeller: ZeroShot, tracker: Tracker
    ) -> Tensor:
        """Return the share of each concept's pictures that shows each attribute, of the model as it is."""
        import torch

        from turpentine.erase._closed_form.subject_prompts import subject_prompts
        from turpentine.models import ClassifierFree

        shares = []
        for each in concepts:
            prompts = [prompt.prompt for prompt in subject_prompts(each, self.templates)]
            pictures = model.generate(
                [prompts[number % len(prompts)] for number in range(self.pictures)],
                seeds=[self.seed + index * self.pictures + number for number in range(self.pictures)],
                steps=self.sampling_steps,
                guidance_scale=self.guidance_scale,
                batch_size=self.batch_size,
                guidance=ClassifierFree(),
                progress=False,
            )
            labels = labeller.probabilities(pictures).argmax(dim=1)
            shares.append(torch.bincount(labels, minlength=len(self.attributes)).double() / self.pictures)
            tracker.add(self.pictures)
        return torch.stack(shares)

    def _labeller(self) -> ZeroShot:
        from turpentine.judges.zero_shot import ZeroShot

        return ZeroShot(self.attributes, self.clip_model, threshold=0.0, templates=self.label_templates)

    def _check_apart(self, concepts: Sequence[Concept]) -> None:
        """Refuse a concept that is an attribute, which led towards itself has no ratio, or that is preserved too."""
        preserved = (*self.preserve, *(text for each in concepts for text in each.keep))
        for each in concepts:
            for texts, what in ((self.attributes, "an attribute"), (preserved, "to be kept")):
                if each.text.lower() in map(str.lower, texts):
                    raise BadArgument(f"{each.text!r} is to be debiased and is {what}: leave it out of one of the two.")


@dataclass(frozen=True, eq=False)
class _Solution:
    """The closed form for any α.

    Args:
        method: Whose λ, a and b it has.
        names: The weights.
        owners: The concept that each key is of, by number.
        keys: k, one a row.
        attributes: g, one a row.
        preserved: Σ p·pᵀ, None for none.
    """

    method: UCEDebias
    names: tuple[str, ...]
    owners: tuple[int, ...]
    keys: Tensor
    attributes: Tensor
    preserved: Tensor | None

    @classmethod
    def of(cls, method: UCEDebias, model: Model, concepts: Sequence[Concept]) -> _Solution:
        """Encode the texts of a debiasing."""
        import torch

        from turpentine.erase._closed_form.subject_prompts import SubjectPrompt, subject_prompts
        from turpentine.erase._closed_form.text_states import key_and_value_weights, text_states
        from turpentine.erase._closed_form.uce_objective import FORMS, UCEObjective

        names = key_and_value_weights(model, method.sites)
        owned = [(n, prompt) for n, each in enumerate(concepts) for prompt in subject_prompts(each, method.templates)]
        objective = UCEObjective.of(
            FORMS["2025"], concepts, guide=None, preserve=method.preserve, templates=method.templates
        )
        keys = torch.cat(text_states(model, [prompt for _, prompt in owned], "last"))
        attributes = torch.cat(text_states(model, [SubjectPrompt(text) for text in method.attributes], "last"))
        owners = tuple(n for n, _ in owned)
        return cls(method, names, owners, keys, attributes, objective.preserved_gram(model))

    def shift(self, alpha: Tensor) -> Any:
        """Return the solution, as `solve` does, for an α (concept, attribute)."""
        from turpentine.erase._closed_form.linear import Scales, solve

        scales = Scales(self.method.lamb, self.method.edit_scale, self.method.preserve_scale)
        return solve(self.keys, self.keys + alpha[list(self.owners)] @ self.attributes, self.preserved, scales=scales)

    def edit(self, model: Model, alpha: Tensor, provenance: Any) -> Edit:
        """Return the edit for an α."""
        from turpentine.erase._closed_form.uce_objective import shift_weights

        return shift_weights(model, self.names, self.shift(alpha), provenance)


def _nested(rows: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, rows.tolist()))
