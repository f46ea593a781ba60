"""MMA's text search: words whose summary in the text encoder is that of the concept's prompt, found by gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count, Text

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class MMA(Attack):
    """Exchange words, one at a time, so that the text encoder's summary of them comes near to that of a prompt.

    L = 1 − cos(pool τ_e(words), pool τ(target)), where the pool is the state of the end token, and for SDXL its
    projected summary beside it; the target is read by the original's text encoder. Each step takes the gradient of the
    one-hot choice of each word, draws candidates that differ in one word from the best `top_k` of its row, encodes all
    in one batch and goes on from the one with the least loss, even if it is worse; the best of all steps is the
    result. Greedy coordinate gradient is Zou et al. 2023 (arXiv 2307.15043); its use here is MMA-Diffusion's text
    part, Yang et al. 2024 (arXiv 2311.17516): 20 tokens, 1,000 steps, top 256, 512 candidates.

    In the authors' code the gradient's rows are those of the tokens one place before, the start token among them; here
    they are the words' own. Words are whole printable ones, so that the text found becomes the tokens found.

    Args:
        tokens: That are sought; as many as the model reads where that is less.
        updates: Steps of the search.
        top_k: Words of each row of the gradient that may come in.
        candidates: In a step.
        target: The prompt whose summary is sought; by default the concept's last.
        blocked: Words that no word of the result may contain; by default the concept's own.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> MMA(updates=10, candidates=32).cost(Trial()).text
        331
    """

    name: ClassVar[str] = "mma"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "original"})

    tokens: Count = 20
    updates: Count = 1000
    top_k: Count = 256
    candidates: Count = 512
    target: Text | None = None
    blocked: tuple[Text, ...] | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all steps spend."""
        return Spent(text=1 + self.updates * (1 + self.candidates))

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the target and the first step spend."""
        return Spent(text=2 + self.candidates)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Exchange words; each stage has the best until then."""
        from turpentine.attack._learning import stage_end
        from turpentine.attack._token_walk import Walk

        with search.meter.repeating(state is not None):
            walk = Walk(self, search)
        walk.restore(state)
        unit = 1 + self.candidates
        while walk.done < self.updates and search.meter.affords(text=unit):
            until = stage_end(self.updates, self.stages, walk.done)
            with search.victim.on():
                while walk.done < until and search.meter.affords(text=unit):
                    walk.step()
                    search.advance(walk.done, self.updates)
            yield walk.stage()
