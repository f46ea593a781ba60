"""What fits into a time: how many pictures an arm, which attacks, and what such an audit can say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from turpentine.attack.harness import Attack
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import counted, duration
from turpentine.stats.power import pictures_for_equivalence

RATE = 0.05
"""What the judge and attacks see where there is nothing, for sample sizes."""
LEAST, QUICK_PICTURES = 20, 40
"""Pictures an arm: fewer than LEAST show no difference that is smaller than all or nothing."""
OTHERS = 216
"""Pictures of single other things, at most."""
BESIDE, LEAST_BESIDE = 6, 8
"""Groups of prompts that show a concept otherwise, and pictures of each at least."""


def pictures_needed(margin: float = 0.05) -> int:
    """Return how many pictures an arm a claim that there is nothing takes; an audit of fewer is a quick one.

    Args:
        margin: How far apart two rates may be and count as the same.

    Example:
        >>> pictures_needed()
        342
    """
    return pictures_for_equivalence(RATE, margin)


@dataclass(frozen=True)
class AuditPlan:
    """How an audit is done.

    Args:
        pictures: Of each arm, by name and of each attack.
        attacks: Which, those that decide first, then the cheapest.
        left_out: Those that there is no time for.
        arms: Models that are attacked.
        seconds: About how long it takes.
        needed: Pictures an arm for a claim that there is nothing.

    Example:
        >>> plan = AuditPlan(40, ("cce",), (), 4, 90.0, 342)
        >>> plan.quick
        True
    """

    pictures: int
    attacks: tuple[str, ...]
    left_out: tuple[str, ...]
    arms: int
    seconds: float
    needed: int

    @property
    def others(self) -> int:
        """Pictures of single other things."""
        return min(OTHERS, self.pictures)

    @property
    def quick(self) -> bool:
        """Are there too few pictures for a claim that there is nothing?"""
        return self.pictures < self.needed

    def summary(self) -> str:
        """Say what will be done, how long it takes, and what it can say."""
        attacks = counted(len(self.attacks), "attack")
        text = f"{attacks} on {counted(self.arms, 'arm')}, {self.pictures} pictures an arm and attack"
        text += f": about {duration(self.seconds)}."
        if self.quick:
            text += (
                f" With fewer than {self.needed} it can say broken, not erased, hidden or inconclusive, and never "
                "that a concept is gone."
            )
        if self.left_out:
            text += f" There is no time for {', '.join(self.left_out)}."
        return text


def plan_audit(
    attacks: Sequence[Attack],
    trial: Trial,
    *,
    arms: int,
    row_seconds: float,
    minutes: float | None = None,
    quick: bool = False,
    pictures: int | None = None,
    edits: int = 1,
    margin: float = 0.05,
    at_least: bool = False,
    deep: int = 0,
) -> AuditPlan:
    """Return the plan that says most in a time.

    At full size first, with as many attacks as fit, those that decide first and then the cheapest; else a quick one
    with all of them, or as many as fit, and as many pictures. What has no attack that decides is no plan as long as
    fewer pictures leave the time for one.

    Args:
        attacks: To choose from.
        trial: How pictures are drawn.
        arms: Models that are attacked, the edited one among them.
        row_seconds: Of the denoiser for one row.
        minutes: The time; None for no limit.
        quick: Take few pictures, whatever the time.
        pictures: Take so many, whatever the time, which then decides on the attacks alone.
        edits: Edited models, all but the first of them beside the arms.
        margin: How far apart two rates may be and count as the same.
        at_least: Where the time does not reach for an attack that decides, take one with the fewest pictures, and
            longer; by default what fits is taken.
        deep: Rows that FADE and the depth score take, however many the pictures; see `deep.deep_rows`.

    Raises:
        BadArgument: There is no attack, or the time or the number of pictures is too small for anything; how much would
            do is in the message.
    """
    if not attacks:
        raise BadArgument("There is no attack: an audit without one shows what a name brings and no more.")
    if minutes is not None and not minutes > 0:
        raise BadArgument(f"{minutes} minutes are no time: give more than 0.")
    if pictures is not None and pictures < LEAST:
        raise BadArgument(f"{pictures} pictures decide nothing: give {LEAST} or more.")
    needed, costs = pictures_needed(margin), _Costs(trial, arms + edits - 1, edits, deep)
    cheapest = sorted(attacks, key=lambda each: costs.rows([each], LEAST))
    ordered = sorted(cheapest, key=lambda each: not each.decides)
    limit = float("inf") if minutes is None else 60 * minutes / max(row_seconds, 1e-9)

    def plan(chosen: Sequence[Attack], size: int) -> AuditPlan:
        if not (quick or size in (needed, pictures)):
            size = costs.enlarged(chosen, size, limit, needed)
        seconds = row_seconds * costs.rows(chosen, size)
        left_out = tuple(each.name for each in ordered if each not in chosen)
        return AuditPlan(size, tuple(each.name for each in chosen), left_out, costs.arms, seconds, needed)

    few = [min(QUICK_PICTURES, needed), min(LEAST, needed)]
    sizes = [pictures] if pictures is not None else few if quick else [needed, *few]
    plans = [(chosen, size) for size in sizes if (chosen := costs.fitting(ordered, size, limit))]
    best = [each for each in plans if each[0][0].decides == ordered[0].decides]
    if best or (plans and not at_least):
        return plan(*(best or plans)[0])
    if at_least:
        return plan(ordered[:1], sizes[-1])
    least = plan(cheapest[:1], sizes[-1])
    raise BadArgument(
        f"{minutes:g} minutes do not reach for an audit that decides anything: {duration(least.seconds)} are the "
        f"least, for {least.pictures} pictures and {cheapest[0].name}."
    )


@dataclass(frozen=True)
class _Costs:
    """What audits take, in rows of the denoiser, one with gradients counted thrice.

    Args:
        trial: How pictures are drawn.
        arms: Models that are attacked, all edited ones among them.
        edits: Edited models.
        deep: Rows that hang on no picture of an arm.
    """

    trial: Trial
    arms: int
    edits: int
    deep: int

    def rows(self, attacks: Sequence[Attack], pictures: int) -> int:
        """Return those of an audit with some attacks and so many pictures."""
        spent = [each.cost(replace(self.trial, pictures=max(1, pictures))) for each in attacks]
        searches = sum(cost.forward + 2 * cost.backward for cost in spent)
        beside, others = BESIDE * beside_pictures(pictures), min(OTHERS, pictures) * 5 // 3
        count = self.arms * (pictures * (len(attacks) + 1) + beside) + (self.edits + 1) * others
        return self.arms * searches + 2 * self.trial.steps * count + self.deep

    def fitting(self, attacks: Sequence[Attack], pictures: int, limit: float) -> list[Attack]:
        """Return as many attacks as fit, the first ones first."""
        chosen: list[Attack] = []
        for each in attacks:
            if self.rows([*chosen, each], pictures) <= limit:
                chosen.append(each)
        return chosen

    def enlarged(self, attacks: Sequence[Attack], pictures: int, limit: float, needed: int) -> int:
        """Return as many pictures as fit with these attacks, up to one fewer than a full audit has."""
        fixed, more = (self.rows(attacks, size) for size in (0, needed))
        fitting = int((limit - fixed) / ((more - fixed) / needed))
        while fitting > pictures and self.rows(attacks, fitting) > limit:
            fitting -= 1
        return max(pictures, min(needed - 1, fitting))


def beside_pictures(pictures: int) -> int:
    """Return how many pictures of each further group of prompts are drawn in an audit of so many.

    Example:
        >>> beside_pictures(40), beside_pictures(342)
        (8, 42)
    """
    return max(LEAST_BESIDE, pictures // 8)
