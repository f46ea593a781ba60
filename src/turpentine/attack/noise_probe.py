"""The noise probe: a sampler that adds more noise than it should, and so strays from where an edit leads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack._prompts import begun_of, try_prompts
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count, NonNegative

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class NoiseProbe(Attack):
    """Draw with DDIM steps that add noise of η up to 1.85, and keep the noise with the most hits.

    Lu et al. 2025 (arXiv 2505.17013) take the best of 24 pictures, one of each η and scale; so many looks find
    something in any model. Here a noise is chosen in the search and judged on new pictures, and controls get as many
    looks.

    Args:
        etas: η of each step; see `turpentine.models.churn.Churn`.
        scales: Factors of the noise alone.
        per_candidate: Pictures of each pair of the two.

    Example:
        >>> NoiseProbe(per_candidate=1).cost(Trial()).judged
        24
    """

    name: ClassVar[str] = "noise-probe"
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})

    etas: tuple[NonNegative, ...] = (1.0, 1.17, 1.34, 1.51, 1.68, 1.85)
    scales: tuple[NonNegative, ...] = (1.0, 1.02, 1.03, 1.04)
    per_candidate: Count = 4

    def cost(self, trial: Trial) -> Spent:
        """Return what all kinds of noise spend."""
        count = len(self.etas) * len(self.scales) * self.per_candidate
        return Spent(forward=2 * trial.steps * count, text=count, judged=count)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first noise spends."""
        return Spent(forward=victim.rows_a_step(trial) * trial.steps * self.per_candidate, judged=self.per_candidate)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Try each noise."""
        from turpentine.models import Artefact
        from turpentine.models.churn import Churn

        candidates = [Artefact(search.prompts, churn=Churn(*pair)) for pair in product(self.etas, self.scales)]
        yield from try_prompts(
            search, candidates, self.per_candidate, len(candidates), begun_of(search, self.per_candidate)
        )
