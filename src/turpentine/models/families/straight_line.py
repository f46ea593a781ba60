"""What families have in common whose denoiser predicts the velocity of a straight line from picture to noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from turpentine.models.families.base import LatentSpec
from turpentine.models.families.flow_solvers import dynamic_shift
from turpentine.models.families.schedule import Flow, RectifiedFlow


class StraightLine:
    """Rectified flow (Liu et al. 2022, arXiv 2209.03003), to stand before another base of a family.

    Attributes:
        even_steps: Does the family's pipeline space σ evenly before the shift, whatever its scheduler does?
    """

    even_steps: ClassVar[bool] = False
    pipeline: Any
    latent: LatentSpec

    @property
    def prediction(self) -> str:
        """ "flow_prediction": the velocity of a straight line."""
        return "flow_prediction"

    @property
    def schedule(self) -> RectifiedFlow:
        """The straight line, with the shift of the scheduler that the pipeline has now."""
        scheduler = self.pipeline.scheduler
        steps = scheduler.config.num_train_timesteps
        even, shift = self.even_steps, self.shift_of
        return RectifiedFlow(steps, scheduler, patch=self.latent.patch, is_even=even, shift=shift)

    @staticmethod
    def shift_of(config: Mapping[str, Any], tokens: int, steps: int) -> float:
        """Return μ of a scheduler whose shift is dynamic; see `flow_solvers.Shift`."""
        return dynamic_shift(config, tokens, steps)

    @property
    def parametrisation(self) -> Flow:
        """The family's output is the velocity."""
        return Flow(self.schedule)
