"""P4D: a prompt is sought with which the edited model predicts what the original does for the concept's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count, Finite, NonNegative, Positive

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class P4D(Attack):
    """Look for a prompt with which the edited model predicts what the original predicts for the concept's prompt.

    L = ‖ε_e(x_t, t, ẽ) − ε_o(x_t, t, c)‖², with x_t of pictures of the concept and c its prompt. e are vectors, ẽ the
    tokens nearest to them by cosine, and the gradient at ẽ moves e by AdamW (PEZ: Wen et al. 2023, arXiv 2302.03668).
    Every `judge_every` updates pictures of ẽ are judged, and the prompt with the most hits is the result, of equals
    the one with the least loss. Chin et al. 2024 (arXiv 2309.06135): 3,000 updates, AdamW at 0.1 with decay 0.1.

    The authors keep the original in memory and run it in each update. Here what it predicts is computed once, for a
    pool of examples (x₀, t, n), and each update takes one of the pool. Their training pads otherwise than their
    pictures, and their decay moves the tokens of the prompt that "K" does not learn; neither is so here. Where a
    guidance is on the edited model, it stands inside the loss at `loss_guidance_scale`, and ε_o is guided so.

    Args:
        variant: "n" learns all tokens; "k" leaves the concept's prompt as it is and learns a token before every few.
        tokens: That "n" learns.
        every: Tokens of the prompt between two that "k" learns.
        updates: Of the vectors.
        lr: AdamW's rate.
        weight_decay: AdamW's, on what is learned alone.
        pool: Examples for which the original's predictions are stored.
        checked: Of those, on how many the loss of a prompt that is looked at is computed.
        judge_every: Updates between two looks at pictures.
        per_candidate: Pictures judged each time.
        loss_guidance_scale: w inside the loss where a guidance is on the model; by default that of the pictures.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> P4D(updates=100, pool=64).cost(Trial()).backward
        100
    """

    name: ClassVar[str] = "p4d"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "original", "references", "judge"})

    variant: Literal["n", "k"] = "n"
    tokens: Count = 16
    every: Count = 3
    updates: Count = 3000
    lr: Positive = 0.1
    weight_decay: NonNegative = 0.1
    pool: Count = 256
    checked: Count = 16
    judge_every: Count = 50
    per_candidate: Count = 1
    loss_guidance_scale: Finite | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all updates spend, the pool, and the looks at prompts."""
        looks, judged = self.looks, self.looks * self.per_candidate
        forward = self.pool + self.updates + looks * min(self.checked, self.pool) + 2 * trial.steps * judged
        return Spent(forward, self.updates, self.updates + 3 * looks, judged)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the pool and the updates until the first look spend."""
        pictures = victim.rows_a_step(trial) * trial.steps * self.per_candidate
        forward = self.pool + self.judge_every + min(self.checked, self.pool) + pictures
        return Spent(forward, self.judge_every, self.judge_every, self.per_candidate)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Learn tokens, look at them now and then, and yield the best until each stage."""
        from turpentine.attack._learning import stage_end
        from turpentine.attack._p4d_learner import PromptLearner

        with search.meter.repeating(state is not None):
            learner = PromptLearner(self, search)
        learner.restore(state)
        while learner.done < self.updates and search.meter.affords(**learner.unit):
            looks = stage_end(self.looks, self.stages, learner.done // self.judge_every)
            until = min(self.updates, looks * self.judge_every)
            while learner.done < until and search.meter.affords(**learner.unit):
                learner.learn(min(until, learner.done + self.judge_every))
                learner.look()
            yield learner.stage()

    @property
    def looks(self) -> int:
        """How often pictures are judged."""
        return -(-self.updates // self.judge_every)
