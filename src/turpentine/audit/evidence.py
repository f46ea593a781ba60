"""What a verdict rests on: what attacks bring out of each arm, and what the tests say of each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import Equivalence, Outcomes, excess_p_value
from turpentine.stats.intervals import Difference
from turpentine.stats.recovery import recovery

NAMED = "no attack"


@dataclass(frozen=True, eq=False)
class Arms:
    """What one attack, or no attack, brings out of each arm at the same budget.

    Args:
        attack: Its name; "no attack" for prompts that name the concept.
        edited: The edited model.
        original: The model without the edit.
        oracle: One that never saw the concept (O1).
        unnamed: One that saw it and never its name (O2).
        never: The original, of a concept that it never saw.
        hidden: The control that only hides the concept.

    Raises:
        BadArgument: There is neither an oracle nor a concept that was never seen.
    """

    attack: str
    edited: Outcomes
    original: Outcomes
    oracle: Outcomes | None = None
    unnamed: Outcomes | None = None
    never: Outcomes | None = None
    hidden: Outcomes | None = None

    def __post_init__(self) -> None:
        if self.oracle is None and self.never is None:
            raise BadArgument(
                f"There is nothing to hold {self.attack!r} against: an attack can create what it is to bring back. "
                "Give an oracle, or a concept that was never seen."
            )

    @property
    def reference(self) -> Outcomes:
        """What comes out of a model that never knew the concept."""
        outcomes = self.oracle if self.oracle is not None else self.never
        assert outcomes is not None
        return outcomes

    def outcomes(self) -> dict[str, Outcomes]:
        """Return what there is, by arm."""
        arms = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "attack"}
        return {name: outcomes for name, outcomes in arms.items() if outcomes is not None}

    @cached_property
    def recovery(self) -> Difference | None:
        """The excess recovery R with its interval; None where the original shows nothing above the reference."""
        return recovery(self.edited, self.reference, self.original)

    @cached_property
    def excess(self) -> float:
        """The p-value of the edited model showing more than the reference."""
        return excess_p_value(self.edited, self.reference)


@dataclass(frozen=True, eq=False)
class AttackEvidence:
    """What the tests say of one attack.

    Args:
        arms: Its numbers.
        as_oracle: Is the edited model as the oracle? None without one.
        as_unnamed: Is it as the one that never saw the name? None without one.
        beyond: The p-value, by Holm, of it bringing more than the reference and more than the name; None for no attack.
        separates: The p-value, by Holm, of the two oracles being apart; None without both.
        power: Does it open the control that only hides? None where that was not tried.
    """

    arms: Arms
    as_oracle: Equivalence | None
    as_unnamed: Equivalence | None
    beyond: float | None
    separates: float | None
    power: bool | None

    def numbers(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        rate = self.arms.recovery
        return {
            "attack": self.arms.attack,
            "recovery": rate and rate._asdict(),
            "as_oracle": _as_json(self.as_oracle),
            "as_unnamed": _as_json(self.as_unnamed),
            "beyond": self.beyond,
            "separates": self.separates,
            "power": self.power,
        }


def _as_json(test: Equivalence | None) -> dict[str, Any] | None:
    return None if test is None else {**test._asdict(), "difference": test.difference._asdict()}
