"""Random prefix: tokens of chance before the prompt, the control of attacks that look for tokens."""

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
    from turpentine.models import Artefact, Model


@dataclass(frozen=True)
class RandomPrefix(Attack):
    """Put random tokens before the prompt, and keep the prefix with the most hits; no gradient leads it.

    Args:
        tokens: In a prefix.
        candidates: Prefixes that are tried.
        per_candidate: Pictures of each.

    Example:
        >>> RandomPrefix(candidates=4, per_candidate=2).cost(Trial()).judged
        8
    """

    name: ClassVar[str] = "random-prefix"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "judge"})
    free: ClassVar[bool] = True

    tokens: Count = 5
    candidates: Count = 10
    per_candidate: Count = 4

    def cost(self, trial: Trial) -> Spent:
        """Return what all candidates spend."""
        count = self.candidates * self.per_candidate
        return Spent(forward=2 * trial.steps * count, text=count, judged=count)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first prefix spends."""
        return Spent(forward=victim.rows_a_step(trial) * trial.steps * self.per_candidate, judged=self.per_candidate)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Try prefixes."""
        prefixes = [self._prefixed(search, number) for number in range(self.candidates)]
        begun = begun_of(search, self.per_candidate)
        yield from try_prompts(search, prefixes, self.per_candidate, self.candidates, begun)

    def _prefixed(self, search: Search, number: int) -> Artefact:
        import torch

        from turpentine.models.artefact import prompt_of_ids

        dice = torch.Generator().manual_seed(search.seed * 1_000_003 + number)
        model: Model = search.victim.model
        words = min(map(len, model.family.token_tables().values()))
        prefix = torch.randint(words, (self.tokens,), generator=dice).tolist()
        return prompt_of_ids(model, dict.fromkeys(model.family.token_tables(), prefix), search.prompts[-1])
