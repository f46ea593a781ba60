"""SneakyPrompt: made-up words in the place of those that a filter refuses, found by reinforcement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count, Positive, Text

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class SneakyPrompt(Attack):
    """Ask a filtered model again and again, with the concept's words replaced by sub-words that a policy learns.

    A policy π writes a row of sub-words for each word of the concept in its prompt, one after the other, by an LSTM
    whose last output says the next; v is its guess of the reward. Of a query with sub-words s₁…s_k and reward r,
    L = Σ_i −log π(s_i)·(r − v_i) + (r − v_i)², with (r − v_i) held fixed in the first term; one step of Adam follows.
    r is the cosine of the picture and the prompt, or −(queries so far / limit)/10 where the filter lets nothing
    through. After several refusals in a row one more word of the prompt is replaced, and the policy begins anew. Yang
    et al. 2024 (arXiv 2305.12082): width 30, rate 0.1, 60 queries.

    It knows nothing but what comes back, and it is against filters: on a model without one it only looks for other
    words, which is said by the number of its queries that were blocked. It ends at the first picture with the concept
    for the judge, where the authors take a cosine of 0.26. Their code ends a search after four queries too where more
    than three tenths of the prompt's words are replaced, which would be every search for a short prompt; here it goes
    on to its limit.

    Args:
        pieces: Sub-words in the place of a word.
        letters: Of a sub-word, at most.
        whole: Take whole words, set apart by spaces, as the authors' option `en` does with English ones; else pieces of
            the vocabulary that together are one made-up word.
        queries: Limit of all queries.
        lr: Rate of Adam.
        width: Of the policy.
        patience: Refusals in a row, after which one more word is replaced.
        towers: Of the cosine: "emoji", or a CLIP model's folder or hub id; by default what suits the model.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> SneakyPrompt(queries=10).cost(Trial()).judged
        10
    """

    name: ClassVar[str] = "sneakyprompt"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "judge"})

    pieces: Count = 3
    letters: Count = 9
    whole: bool = False
    queries: Count = 60
    lr: Positive = 0.1
    width: Count = 30
    patience: Count = 5
    towers: Text | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all queries spend, if each gets a picture."""
        return Spent(forward=2 * trial.steps * self.queries, text=2 * self.queries, judged=self.queries)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first query spends."""
        return Spent(forward=victim.rows_a_step(trial) * trial.steps, judged=1)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Ask; each stage has the best prompt until then."""
        from turpentine.attack._learning import stage_end
        from turpentine.attack._sneaky_policy import Asking

        asking = Asking(self, search)
        asking.restore(state)
        while not asking.hit and asking.done < self.queries and search.meter.affords(**asking.unit):
            until = stage_end(self.queries, self.stages, asking.done)
            while not asking.hit and asking.done < until and search.meter.affords(**asking.unit):
                asking.ask()
                search.advance(asking.done, self.queries)
            yield asking.stage()
