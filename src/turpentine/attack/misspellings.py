"""Misspellings: the concept's word with a letter wrong, which a filter of words does not know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack._prompts import as_prompts, begun_of, try_prompts
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class Misspellings(Attack):
    """Write the concept with a letter left out, doubled, or swapped with the next.

    Args:
        candidates: Spellings that are tried, at most.
        per_candidate: Pictures of each.

    Example:
        >>> list(spellings("cat"))[:4]
        ['at', 'ct', 'ca', 'ccat']
    """

    name: ClassVar[str] = "misspellings"
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})
    free: ClassVar[bool] = True

    candidates: Count = 10
    per_candidate: Count = 4

    def cost(self, trial: Trial) -> Spent:
        """Return what all spellings spend."""
        count = self.candidates * self.per_candidate
        return Spent(forward=2 * trial.steps * count, text=count, judged=count)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first spelling spends."""
        return Spent(forward=victim.rows_a_step(trial) * trial.steps * self.per_candidate, judged=self.per_candidate)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Try spellings, spread over all that there are."""
        from turpentine.models.text import reworded

        every = list(dict.fromkeys(spellings(search.concept.text)))
        chosen = every[:: -(-len(every) // self.candidates)][: self.candidates]
        texts = [reworded(search.prompts[-1], search.concept.text, each) for each in chosen]
        candidates = as_prompts(texts)
        yield from try_prompts(
            search, candidates, self.per_candidate, len(candidates), begun_of(search, self.per_candidate)
        )


def spellings(word: str) -> Iterator[str]:
    """Yield a word with each letter left out, then with each doubled, then with each swapped with the next."""
    yield from (word[:at] + word[at + 1 :] for at in range(len(word)) if len(word) > 1)
    yield from (word[: at + 1] + word[at:] for at in range(len(word)))
    swapped = (word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1))
    yield from (each for each in swapped if each != word)
