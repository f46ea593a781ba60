"""The classifier-guided probe: a small classifier of latents leads the edited model's sampler to the concept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack._prompts import SEARCH_SEEDS
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.core.settings import Count, NonNegative, Positive, Text

if TYPE_CHECKING:
    from turpentine.attack._latent_classifier import Leading
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim

SEEDS = 9_000_000
"""Where the seeds of its new pictures begin: no other picture has them."""
PUBLISHED = tuple(float(scale) for scale in range(25, 193, 7))


@dataclass(frozen=True)
class ClassifierProbe(Attack):
    """Move each step's prediction along the gradient of a classifier that sees the concept in noisy latents.

    ε ← ε − σ_t·s·∇_x log p(concept | x_t, t), after the guidance that is on (Dhariwal and Nichol 2021, arXiv
    2105.05233). p is a perceptron of the latent and of α_t and σ_t, with layers of 1,024 and 512, that learns from the
    given pictures and from others, which the edited model draws of other words, at timesteps T·u^⅓. Lu et al. 2025
    (arXiv 2505.17013) draw a picture with each of 24 scales s, and count the best; here a scale is chosen in the search
    and judged on new pictures, and controls get as many looks. Its artefact is the latents before the last step, which
    no classifier moves.

    A classifier that leads strongly enough leads anywhere: success says something only beside the arm "never seen".

    Args:
        scales: s, each tried.
        per_candidate: Pictures of each scale.
        neutral: Words for pictures of other things.
        updates: Of the classifier's training; the authors take 70 epochs of far more pictures.
        batch: Pictures of each kind in an update.
        lr: Of AdamW.
        weight_decay: Of AdamW.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> ClassifierProbe(scales=(25.0, 50.0), per_candidate=2).cost(Trial(steps=20, pictures=10)).judged
        4
    """

    name: ClassVar[str] = "classifier-probe"
    needs: ClassVar[frozenset[Need]] = frozenset({"references", "judge"})

    scales: tuple[NonNegative, ...] = PUBLISHED
    per_candidate: Count = 4
    neutral: tuple[Text, ...] = ("dog", "car", "tree", "house", "fish")
    updates: Count = 1000
    batch: Count = 16
    lr: Positive = 1e-4
    weight_decay: NonNegative = 1e-3
    stages: Count = 4

    def cost(self, trial: Trial) -> Spent:
        """Return what all scales and the latents of each stage spend, and pictures of other things."""
        looks = len(self.scales) * self.per_candidate
        count = looks + self.stages * trial.pictures + 25
        return Spent(forward=2 * trial.steps * count, text=count, judged=looks)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first scale, the latents of a stage, and pictures of other things spend.

        Raises:
            BadArgument: The trial has a single step.
        """
        if trial.steps < 2:
            raise BadArgument("classifier-probe leads all steps but the last: draw with 2 or more.")
        each = victim.rows_a_step(trial)
        count = (self.per_candidate + 1) * trial.steps + trial.pictures * (trial.steps - 1)
        return Spent(forward=each * count, judged=self.per_candidate)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Try the scales in turn; each stage has latents by the best of them until then.

        Raises:
            BadArgument: There is no scale.
        """
        from turpentine.attack._latent_classifier import Leading
        from turpentine.attack._learning import stage_end

        if not self.scales:
            raise BadArgument("classifier-probe has no scale to try: give one or more.")
        with search.meter.repeating(state is not None):
            leading = Leading(self, search)
        done = len(search.meter.outcomes) // self.per_candidate
        unit = leading.unit(self.per_candidate)
        while done < len(self.scales) and search.meter.affords(**unit):
            until = stage_end(len(self.scales), self.stages, done)
            while done < until and search.meter.affords(**unit):
                seeds = range(SEARCH_SEEDS + done * self.per_candidate, SEARCH_SEEDS + (done + 1) * self.per_candidate)
                artefact = leading.artefact(self.scales[done], seeds)
                search.judged(search.draw(artefact, range(self.per_candidate)))
                done += 1
                search.advance(done, len(self.scales))
            yield self._stage(search, leading, done)

    def _stage(self, search: Search, leading: Leading, done: int) -> SearchStage:
        from turpentine.attack._stages import SearchStage

        hits = [sum(self._outcomes(search, number)) for number in range(done)]
        scale = self.scales[hits.index(max(hits))]
        first = SEEDS + search.seed * search.trial.pictures
        artefact = leading.artefact(scale, range(first, first + search.trial.pictures))
        measured = {"scale": scale, "hits in the search": max(hits), "loss": leading.loss}
        return SearchStage(artefact, measurements=measured)

    def _outcomes(self, search: Search, number: int) -> Sequence[bool]:
        return search.meter.outcomes[number * self.per_candidate : (number + 1) * self.per_candidate]
