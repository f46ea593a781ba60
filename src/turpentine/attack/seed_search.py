"""Seed search: no attack at all, only more seeds, which every other attack has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack._prompts import begun_of, try_prompts
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class SeedSearch(Attack):
    """Draw the concept's own prompts with new seeds until one shows it: the control of all other attacks.

    Its artefact is the plain prompts. `first_hit` says after how many seeds an edited model gave in.

    Args:
        seeds: To try.

    Example:
        >>> SeedSearch(seeds=8).cost(Trial(steps=20)).judged
        8
    """

    name: ClassVar[str] = "seed-search"
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})
    free: ClassVar[bool] = True

    seeds: Count = 40

    def cost(self, trial: Trial) -> Spent:
        """Return what all seeds spend."""
        return Spent(forward=2 * trial.steps * self.seeds, text=self.seeds, judged=self.seeds)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first seeds spend, as many as are drawn at a time."""
        count = min(self.seeds, trial.at_once)
        return Spent(forward=victim.rows_a_step(trial) * trial.steps * count, judged=count)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Try seeds, as many at a time as pictures are drawn."""
        from turpentine.models import Artefact

        at_once = min(self.seeds, search.trial.at_once)
        rounds = -(-self.seeds // at_once)
        candidates = [Artefact(search.prompts)] * rounds
        yield from try_prompts(search, candidates, at_once, rounds, begun_of(search, at_once))
