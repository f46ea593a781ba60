"""Plans: what fits, what does not, and what a plan says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.trial import Trial
from turpentine.audit.plan import LEAST, QUICK_PICTURES, plan_audit
from turpentine.core.errors import BadArgument
from turpentine.stats.power import pictures_for_equivalence


@dataclass(frozen=True)
class Costly(Attack):
    """An attack of a cost."""

    rows: int = 0
    name = "costly"  # type: ignore[misc]

    def search(self, search: Any, state: Any) -> Any:
        raise NotImplementedError

    def cost(self, trial: Trial) -> Spent:
        return Spent(forward=self.rows)


@dataclass(frozen=True)
class Cheap(Costly):
    """An attack of no cost."""

    name = "cheap"  # type: ignore[misc]


@dataclass(frozen=True)
class Telling(Costly):
    """An attack of some cost that was measured to decide."""

    name = "telling"  # type: ignore[misc]
    decides = True  # type: ignore[misc]


ATTACKS = [Costly(rows=100_000), Cheap()]
TRIAL = Trial(steps=10)


def test_a_full_plan_has_what_the_margin_needs_and_no_limit_leaves_nothing_out() -> None:
    plan = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001)
    assert plan.pictures == plan.needed == pictures_for_equivalence(0.05, 0.05) and not plan.quick
    assert plan.attacks == ("cheap", "costly") and plan.left_out == ()
    beside = 6 * (plan.pictures // 8)  # of each group of prompts that show it otherwise
    rows = 5 * (100_000 + 20 * (plan.pictures * 3 + beside)) + 2 * 20 * 216 * 5 // 3
    assert plan.seconds == pytest.approx(0.001 * rows)
    assert "gone" not in plan.summary() and "2 attacks on 5 arms" in plan.summary()


def test_a_short_time_takes_the_cheapest_attack_at_full_before_all_of_them_at_few_pictures() -> None:
    plan = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, minutes=2)
    assert plan.attacks == ("cheap",) and plan.left_out == ("costly",) and not plan.quick
    assert plan.seconds <= 120 and "There is no time for costly." in plan.summary()


def test_a_shorter_time_takes_as_many_pictures_as_fit_and_says_what_it_cannot_say() -> None:
    for minutes in (0.35, 0.5, 0.75):
        plan = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, minutes=minutes)
        assert plan.quick and QUICK_PICTURES <= plan.pictures < plan.needed
        assert 60 * minutes * 0.8 < plan.seconds <= 60 * minutes
        assert "can say broken, not erased, hidden or inconclusive, and never that a concept is gone" in plan.summary()


def test_where_no_time_reaches_the_least_is_taken_if_that_is_asked_for() -> None:
    plan = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=1.0, minutes=5, quick=True, at_least=True)
    assert (plan.attacks, plan.pictures) == (("cheap",), LEAST) and plan.seconds > 300
    with pytest.raises(BadArgument, match=r"5 minutes do not reach .* are the least, for 20 pictures and cheap"):
        plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=1.0, minutes=5, quick=True)


def test_what_decides_is_taken_before_what_is_cheap_and_before_more_pictures() -> None:
    attacks = [*ATTACKS, Telling(rows=30_000)]
    whole = plan_audit(attacks, TRIAL, arms=5, row_seconds=0.001)
    assert (whole.attacks, whole.left_out) == (("telling", "cheap", "costly"), ())
    some = plan_audit(attacks, TRIAL, arms=5, row_seconds=0.001, minutes=whole.seconds / 60 - 1)
    assert (some.attacks, some.left_out, some.pictures) == (("telling", "cheap"), ("costly",), some.needed)
    cheap = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, minutes=4.5)
    assert (cheap.attacks, cheap.pictures) == (("cheap",), cheap.needed)  # which fits, and shows little
    telling = plan_audit(attacks, TRIAL, arms=5, row_seconds=0.001, minutes=4)
    assert "telling" in telling.attacks and telling.pictures < telling.needed and telling.seconds <= 4 * 60
    short = plan_audit(attacks, TRIAL, arms=5, row_seconds=0.001, minutes=0.5)
    assert short.attacks == ("cheap",)  # no time for what decides
    least = plan_audit(attacks, TRIAL, arms=5, row_seconds=0.001, minutes=0.5, quick=True, at_least=True)
    assert (least.attacks, least.pictures) == (("telling",), LEAST) and least.seconds > 30


def test_what_is_deeper_than_pictures_takes_its_time_too() -> None:
    without, beside = (plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, deep=rows) for rows in (0, 50_000))
    assert beside.seconds == pytest.approx(without.seconds + 50)
    minutes = (without.seconds + 1) / 60
    assert plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, minutes=minutes) == without
    less = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, minutes=minutes, deep=50_000)
    assert less.left_out == ("costly",) and less.seconds <= 60 * minutes


def test_a_quick_plan_is_quick_though_there_is_time() -> None:
    plan = plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, quick=True)
    assert plan.pictures == QUICK_PICTURES and plan.quick and plan.left_out == ()


def test_a_time_that_reaches_for_nothing_is_refused_and_says_what_would() -> None:
    with pytest.raises(BadArgument, match=f"do not reach .* are the least, for {LEAST} pictures and cheap"):
        plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.1, minutes=0.1)
    with pytest.raises(BadArgument, match="no attack"):
        plan_audit([], TRIAL, arms=5, row_seconds=0.1)
    with pytest.raises(BadArgument, match="0 minutes are no time"):
        plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.1, minutes=0)


def test_a_number_of_pictures_is_taken_and_several_edits_share_all_arms_but_their_own() -> None:
    one, three = (plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, pictures=60, edits=n) for n in (1, 3))
    assert one.pictures == 60 and one.quick and one.others == 60
    rows = 20 * (60 * 3 + 6 * 8) + 100_000
    assert one.seconds == pytest.approx(0.001 * (5 * rows + 2 * 20 * 100))
    assert three.seconds == pytest.approx(0.001 * (7 * rows + 4 * 20 * 100))
    assert not plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, pictures=400).quick
    with pytest.raises(BadArgument, match="5 pictures decide nothing: give 20 or more"):
        plan_audit(ATTACKS, TRIAL, arms=5, row_seconds=0.001, pictures=5)
