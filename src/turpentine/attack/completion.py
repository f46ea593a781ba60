"""Diffusion completion: the original begins a picture and the edited model ends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.core.settings import Share

SEEDS = 5_000_000
"""Where the seeds of its pictures begin: no other picture has them."""

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim
    from turpentine.models import Model


@dataclass(frozen=True)
class Completion(Attack):
    """Let the original run the first steps of the sampler, and the edited model the rest.

    What the edited model makes of a picture that is on its way says whether it still knows the concept or only avoids
    beginning it. Lu et al. 2025 (arXiv 2505.17013), who let the original run 5 or 10 of 50 steps. Its artefact is the
    latents where the edited model begins.

    Args:
        share: Of the steps that the original runs.

    Example:
        >>> Completion(share=0.1).first(20)
        2
    """

    name: ClassVar[str] = "completion"
    needs: ClassVar[frozenset[Need]] = frozenset({"original", "judge"})
    free: ClassVar[bool] = True

    share: Share = 0.2

    def first(self, steps: int) -> int:
        """Return the edited model's first step."""
        return min(steps - 1, max(1, round(self.share * steps)))

    def cost(self, trial: Trial) -> Spent:
        """Return what the original's steps spend."""
        return Spent(forward=2 * self.first(trial.steps) * trial.pictures, text=trial.pictures)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the original's steps of all pictures spend.

        Raises:
            BadArgument: A picture has one step, which cannot be shared.
        """
        if self.first(trial.steps) == 0:
            raise BadArgument("The steps of completion are shared by two models, and there is 1: draw with 2 or more.")
        each = original.rows_a_step(trial) if original is not None else 0
        return Spent(forward=each * self.first(trial.steps) * trial.pictures)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Run the original's steps for each new picture."""
        import torch

        from turpentine.attack._stages import SearchStage
        from turpentine.models import Artefact

        assert search.original is not None
        trial, first = search.trial, self.first(search.trial.steps)
        latents: list[torch.Tensor] = []
        with search.original.on() as model:
            while len(latents) < trial.pictures:
                numbers = range(len(latents), min(len(latents) + trial.at_once, trial.pictures))
                prompts = [search.prompts[number % len(search.prompts)] for number in numbers]
                seeds = [SEEDS + search.seed * trial.pictures + number for number in numbers]
                latents += _begun(model, prompts, seeds, trial, first)
                search.advance(len(latents), trial.pictures)
        yield SearchStage(Artefact(search.prompts, latents=torch.stack(latents), first=first, steps=trial.steps))


def _begun(model: Model, prompts: Sequence[str], seeds: Sequence[int], trial: Trial, first: int) -> Tensor:
    """Return the latents of pictures after their first steps, all in one call of the sampler."""
    from turpentine.models import sample

    run = sample(
        model,
        model.encode(prompts),
        model.encode([""]),
        model.noise(seeds),
        steps=trial.steps,
        guidance_scale=trial.guidance_scale,
        last=first,
    )
    *_, step = run
    return step.x_next
