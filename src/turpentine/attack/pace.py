"""How fast attacks go here: seconds of what they spend, found out by trying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from turpentine.attack.budget import Budget, Spent
from turpentine.attack.harness import Attack
from turpentine.attack.trial import Trial

if TYPE_CHECKING:
    from turpentine.models import Model


@dataclass(frozen=True)
class AttackPace:
    """Seconds that what is spent takes; a row of the denoiser with gradients counts as three.

    Args:
        row: Seconds of a row of the denoiser.
        text: Seconds of a text.

    Example:
        >>> AttackPace(row=0.01, text=0.001).seconds(Spent(forward=100, backward=100, text=10))
        3.01
    """

    row: float
    text: float

    @classmethod
    def of(cls, model: Model) -> AttackPace:
        """Return the pace of a model, by a few rows and texts."""
        from turpentine.models.speed import seconds_a_row, seconds_a_text

        return cls(seconds_a_row(model, 8), seconds_a_text(model, 32))

    def seconds(self, spent: Spent) -> float:
        """Return what something takes."""
        return self.row * (spent.forward + 2 * spent.backward) + self.text * spent.text

    def of_arm(self, attack: Attack, trial: Trial, budget: Budget) -> float:
        """Return what an attack on one arm takes, with its new pictures."""
        return self.seconds(budget.capped(attack.cost(trial))) + self.of_pictures(trial)

    def of_pictures(self, trial: Trial) -> float:
        """Return what as many pictures take as a trial has."""
        return self.seconds(Spent(forward=2 * trial.steps * trial.pictures, text=trial.pictures))
