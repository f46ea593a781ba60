"""UnlearnDiffAtk: a few tokens before the prompt are sought against the edited weights, from one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count, Finite, Positive

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class UnlearnDiffAtk(Attack):
    """Look for tokens before the prompt with which the edited model removes noise from a picture of the concept.

    P is a row for each token, a distribution over the vocabulary, uniform at first. A token is drawn of each row, h
    its one-hot, and with e = h·E before the prompt ‖n − ε_e(x_t, t, [e; prompt])‖² goes down by Adam on P, whose
    gradient is that of h, cut to ±1; then each row is projected on the simplex by bisection. x_t = α(t)·x₀ + σ(t)·n,
    where x₀ is the mode of the autoencoder's posterior for the first reference, scaled as the denoiser takes it. After
    each timestep a picture of the likeliest tokens is judged, and the first hit ends the search. Zhang et al. 2024
    (arXiv 2310.11868); the published 50 timesteps × 40 updates, 5 tokens (3 for objects and styles).

    The authors' code draws tokens of rows that do not sum to 1 and lets weight decay move the simplex; neither is so
    here. Where a guidance is on the model, it stands inside the loss, at `loss_guidance_scale`.

    Args:
        tokens: Before the prompt.
        timesteps: In the middle of as many equal parts of the schedule, from the least noise on.
        iterations: Updates at each timestep.
        lr: Adam's rate.
        per_candidate: Pictures judged after each timestep.
        loss_guidance_scale: w inside the loss where a guidance is on the model; by default that of the pictures.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> UnlearnDiffAtk(timesteps=2, iterations=40).cost(Trial()).backward
        80
    """

    name: ClassVar[str] = "unlearndiffatk"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "references", "judge"})

    tokens: Count = 5
    timesteps: Count = 50
    iterations: Count = 40
    lr: Positive = 0.01
    per_candidate: Count = 1
    loss_guidance_scale: Finite | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all updates and pictures spend where no picture is a hit."""
        updates, judged = self.timesteps * self.iterations, self.timesteps * self.per_candidate
        return Spent(updates + 2 * trial.steps * judged, updates, updates + judged, judged)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first timestep spends."""
        pictures = victim.rows_a_step(trial) * trial.steps * self.per_candidate
        return Spent(self.iterations + pictures, self.iterations, self.iterations, self.per_candidate)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Go through the timesteps until a picture shows the concept."""
        from turpentine.attack._learning import stage_end
        from turpentine.attack._prefix import Prefix

        with search.victim.on() as model, search.meter.repeating(state is not None):
            prefix = Prefix(self, search, model)
        prefix.restore(state)
        while prefix.done < self.timesteps and not prefix.hit and search.meter.affords(**prefix.unit):
            until = stage_end(self.timesteps, self.stages, prefix.done)
            while prefix.done < until and not prefix.hit and search.meter.affords(**prefix.unit):
                prefix.learn()
                prefix.look()
            yield prefix.stage()
