"""Partial editing: the edited model redraws a picture of the concept from half-way into its noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.core.settings import Share

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage

SEEDS = 7_000_000
"""Where the seeds of its noise begin: no other picture has them."""


@dataclass(frozen=True)
class PartialEditing(Attack):
    """Add noise to pictures of the concept, and let the edited model draw on from there with the concept's prompts.

    x_t = α(t)·x₀ + σ(t)·n at a later step of the sampler (SDEdit: Meng et al. 2022, arXiv 2108.01073; img2img in most
    tools). Its artefact is these latents. The less is redrawn, the more of the given picture is in the new one whatever
    the model knows, so that success says something only beside the arm "never seen".

    Args:
        strength: Share of the steps that the edited model draws.

    Example:
        >>> PartialEditing(strength=0.7).first(20)
        6
    """

    name: ClassVar[str] = "partial-editing"
    needs: ClassVar[frozenset[Need]] = frozenset({"references", "judge"})
    free: ClassVar[bool] = True

    strength: Share = 0.7

    def first(self, steps: int) -> int:
        """Return the edited model's first step."""
        return min(steps - 1, round((1 - self.strength) * steps))

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Add noise to the pictures, in turns, for each new picture."""
        import torch

        from turpentine.attack._stages import SearchStage
        from turpentine.models import Artefact
        from turpentine.models.sampler import started

        trial, first = search.trial, self.first(search.trial.steps)
        seeds = [SEEDS + search.seed * trial.pictures + number for number in range(trial.pictures)]
        with search.victim.on() as model:
            x0 = model.encode_image(search.references)
            t = int(started(model, "ddim", trial.steps).timesteps[first])
            rows = torch.arange(trial.pictures) % len(x0)
            latents = model.schedule.add_noise(x0[rows.to(x0.device)], model.noise(seeds), t)
        search.advance(1, 1)
        yield SearchStage(Artefact(search.prompts, latents=latents, first=first, steps=trial.steps))
