"""The true rate behind a judge's: a published example, and its cover by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import Outcomes
from turpentine.stats.intervals import Rate
from turpentine.stats.prevalence import JudgeError, corrected_rate


def test_the_correction_is_rogan_and_gladens_and_cut_to_what_can_be() -> None:
    judge = JudgeError(Rate(95, 100), Rate(90, 100))
    for hits in (15, 50, 80):
        rate = corrected_rate(Outcomes((True,) * hits + (False,) * (100 - hits)), judge)
        assert rate.value == pytest.approx((hits / 100 + 0.9 - 1) / 0.85) and rate.low <= rate.value <= rate.high
    assert corrected_rate(Outcomes((False,) * 100), judge)[:2] == (0.0, 0.0)


def test_a_perfect_and_certain_judge_leaves_the_interval_of_agresti_and_coull() -> None:
    from scipy.stats import norm

    z, million = norm.isf(0.025), Rate(10**6, 10**6)
    p = (30 + z**2 / 2) / (100 + z**2)
    reach = z * np.sqrt(p * (1 - p) / (100 + z**2))
    rate = corrected_rate(Outcomes((True,) * 30 + (False,) * 70), JudgeError(million, million))
    assert rate.low == pytest.approx(p - reach, abs=1e-4) and rate.high == pytest.approx(p + reach, abs=1e-4)


@pytest.mark.parametrize(("truth", "least"), [(0.0, 0.93), (0.1, 0.92), (0.6, 0.92)])
def test_the_interval_has_the_truth_where_that_of_the_raw_rate_has_not(truth: float, least: float) -> None:
    rng, runs, covered, raw = np.random.default_rng(3), 300, 0, 0
    se, sp = 0.85, 0.95
    for _ in range(runs):
        judge = JudgeError(Rate(int(rng.binomial(100, se)), 100), Rate(int(rng.binomial(100, sp)), 100))
        hits = rng.random(300) < truth * se + (1 - truth) * (1 - sp)
        rate = corrected_rate(Outcomes(tuple(hits.tolist())), judge)
        plain = Rate.of(hits.tolist())
        assert plain is not None
        covered += rate.low <= truth <= rate.high
        raw += plain.low <= truth <= plain.high
    assert covered / runs >= least and (truth == 0.1 or raw < covered)


def test_a_judge_by_chance_is_refused_and_an_unsure_one_says_so() -> None:
    with pytest.raises(BadArgument, match="no better than chance"):
        JudgeError(Rate(5, 10), Rate(5, 10))
    assert JudgeError(Rate(3, 5), Rate(3, 5)).least_youden == 0.0
    assert corrected_rate(Outcomes((True, False)), JudgeError(Rate(1, 1), Rate(1, 30)))[1:] == (0.0, 1.0)
