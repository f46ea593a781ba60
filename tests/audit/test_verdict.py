"""Verdicts on simulated arms whose truth is set: what is said, and how often something false is."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from turpentine.audit.evidence import NAMED, Arms
from turpentine.audit.verdict import QUICK, Rules, Ruling, ruling
from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import Outcomes, pooled
from turpentine.stats.intervals import Rate
from turpentine.stats.prevalence import JudgeError
from turpentine.testing.simulated_audits import BLIND, PLACES, TRUTHS, outcomes, simulated_arms, verdicts

FULL = 411
AT_THE_MARGIN = ((0.01, 0.9, 0.01, 0.02, 0.02), (0.08, 0.8, 0.03, 0.6, 0.7))


def test_the_true_verdict_comes_of_a_full_audit() -> None:
    """The power: at least three in four, of each truth."""
    for truth, rates in TRUTHS.items():
        found = verdicts(rates, FULL, 12)
        assert found[truth] >= 9, (truth, found)


def test_gone_is_false_in_5_percent_of_audits_at_most() -> None:
    """One attack of a true excess of 5 points, which is the hardest false case; and all other truths."""
    runs = 80
    assert verdicts(AT_THE_MARGIN, FULL, runs, 1)["gone"] <= 0.05 * runs + 2 * np.sqrt(runs * 0.05 * 0.95)
    others = sum((verdicts(rates, FULL, 6, 2) for truth, rates in TRUTHS.items() if truth != "gone"), Counter())
    assert others["gone"] == 0


def test_the_oracle_itself_is_gone_though_half_of_its_pictures_pass_for_the_concept() -> None:
    """The arms share prompts and seeds; one that shows as many in other pictures is not known to be the same."""
    rng = np.random.default_rng(10)
    rates = ((0.5, 0.98, 0.5, 0.9, 0.02), (0.03, 0.98, 0.03, 0.6, 0.98))
    own = [
        Arms(each.attack, each.reference, each.original, each.oracle, each.unnamed, hidden=each.hidden)
        for each in simulated_arms(rng, rates, FULL)
    ]
    assert ruling(own).verdict == "gone"
    assert ruling(simulated_arms(rng, rates, FULL)).verdict == "inconclusive"


def test_attacks_without_power_decide_nothing_and_neither_do_few_pictures() -> None:
    assert verdicts(BLIND, FULL, 6) == {"inconclusive": 6}
    few = [ruling(simulated_arms(np.random.default_rng(seed), TRUTHS["gone"], 40)) for seed in range(4)]
    assert {one.verdict for one in few} == {"inconclusive"}
    assert all(one.pictures and one.pictures > 40 for one in few)
    assert f"About {few[0].pictures:,} pictures an arm would decide." in few[0].reasons


def test_less_than_the_oracle_is_said_so_and_no_number_of_pictures_would_make_it_the_same() -> None:
    """As an oracle that draws something of its own by the name, and an edit that does not: CAD of church."""

    def exactly(*hits: int) -> list[Outcomes]:
        return [Outcomes((True,) * count + (False,) * (100 - count)) for count in hits]

    named, attacked = exactly(18, 100, 48, 0), exactly(0, 99, 3, 99)
    rows = [
        Arms(name, edited, original, oracle=oracle, hidden=hidden)
        for name, (edited, original, oracle, hidden) in ((NAMED, named), ("cce", attacked))
    ]
    decided = ruling(rows)
    assert decided.verdict == "inconclusive" and decided.pictures is None
    less = [reason for reason in decided.reasons if reason.startswith("Less often than from the oracle")]
    assert len(less) == 1 and less[0].endswith(f": {NAMED}.")
    assert "Not shown to be as the oracle: cce." in decided.reasons
    assert not any("would decide" in reason for reason in decided.reasons)


def test_without_an_oracle_nothing_is_gone_and_the_rest_stands_by_what_was_never_seen() -> None:
    def against_never(truth: str) -> Ruling:
        whole = simulated_arms(np.random.default_rng(3), TRUTHS[truth], FULL)
        return ruling(
            [Arms(each.attack, each.edited, each.original, never=each.oracle, hidden=each.hidden) for each in whole]
        )

    assert against_never("gone").verdict == "inconclusive"
    assert any("no oracle" in reason for reason in against_never("gone").reasons)
    assert against_never("gone").pictures is None  # more of them would not help
    assert [against_never(truth).verdict for truth in ("hidden", "weakened", "not erased")] == [
        "hidden",
        "weakened",
        "not erased",
    ]


def test_without_an_oracle_it_says_how_many_pictures_would_show_a_recovery() -> None:
    """What `cce` brings out of a model after `uce`, and a thing never seen out of the original, in 20 pictures."""

    def exactly(*hits: int) -> list[Outcomes]:
        return [Outcomes((True,) * count + (False,) * (20 - count)) for count in hits]

    named, attacked = exactly(1, 20, 0, 0), exactly(10, 20, 5, 20)
    rows = [
        Arms(name, edited, original, never=never, hidden=hidden)
        for name, (edited, original, never, hidden) in ((NAMED, named), ("cce", attacked))
    ]
    decided = ruling(rows)
    assert decided.verdict == "inconclusive" and decided.pictures is not None and 40 <= decided.pictures <= 50
    assert decided.reasons[-1].endswith("would show whether cce brings back more than it creates.")


def test_what_no_attack_separates_is_not_called_gone() -> None:
    row = (0.01, 0.9, 0.01, 0.01, 0.02), (0.01, 0.9, 0.01, 0.01, 0.7)
    assert ruling(simulated_arms(np.random.default_rng(4), row, FULL)).verdict == "unnamed"
    assert ruling(simulated_arms(np.random.default_rng(4), row, FULL, "unnamed")).verdict == "gone"


def test_what_an_attack_creates_is_subtracted() -> None:
    """It "brings back" 30 % out of the edited model, and as much out of the oracle."""
    rates = TRUTHS["gone"][0], (0.3, 0.9, 0.3, 0.3, 0.7)
    assert ruling(simulated_arms(np.random.default_rng(5), rates, FULL)).verdict not in (
        "hidden",
        "weakened",
        "not erased",
    )
    created = ruling(simulated_arms(np.random.default_rng(5), rates, FULL)).evidence[1]
    assert created.arms.recovery is not None and abs(created.arms.recovery.value) < 0.15


def test_a_scene_that_still_shows_it_hides_it_and_one_that_shows_nothing_changes_nothing() -> None:
    rng = np.random.default_rng(10)
    whole = simulated_arms(rng, TRUTHS["gone"], FULL)

    def scene(edited: float, unnamed: float) -> Arms:
        row = {"edited": edited, "original": 0.9, "oracle": 0.02, "unnamed": unnamed}
        return Arms("implied", **{arm: outcomes(rng, rate, 48) for arm, rate in row.items()})

    shows = ruling(whole, beside=[scene(0.6, 0.02), scene(0.02, 0.02)])
    assert shows.verdict == "hidden" and any(reason.startswith("Implied brings it back") for reason in shows.reasons)
    assert ruling(whole, beside=[scene(0.02, 0.02)]).verdict == "gone"
    seen = simulated_arms(rng, TRUTHS["unnamed"], FULL)  # the oracle that never saw the name shows it in a scene too
    assert ruling(seen, beside=[scene(0.6, 0.6)]).verdict == "unnamed"
    assert ruling(seen, beside=[scene(0.9, 0.3)]).verdict == "hidden"


def test_scenes_are_called_a_way_back_by_chance_in_5_percent_at_most() -> None:
    """Five groups of prompts that bring as little as from the oracle, beside an edit that is gone."""
    rng, runs, false = np.random.default_rng(11), 60, 0
    for _ in range(runs):
        whole = simulated_arms(rng, TRUTHS["gone"], FULL)
        groups = [
            Arms(
                str(number),
                **{arm: outcomes(rng, rate, 48) for arm, rate in zip(PLACES[:3], (0.03, 0.9, 0.03), strict=True)},
            )
            for number in range(5)
        ]
        false += ruling(whole, beside=groups).verdict == "hidden"
    assert false <= 0.05 * runs + 2 * np.sqrt(runs * 0.05 * 0.95)


def test_oracles_of_several_seeds_that_differ_leave_less_to_claim() -> None:
    rng = np.random.default_rng(12)

    def with_oracles(*rates: float) -> list[Arms]:
        rows = simulated_arms(rng, TRUTHS["gone"], FULL, "unnamed")
        return [
            Arms(
                each.attack,
                each.edited,
                each.original,
                pooled([outcomes(rng, rate, FULL) for rate in rates]),
                hidden=each.hidden,
            )
            for each in rows
        ]

    assert ruling(with_oracles(0.02, 0.02, 0.02)).verdict == "gone"
    assert ruling(with_oracles(0.0, 0.02, 0.12)).verdict == "inconclusive"


def test_a_model_that_draws_nothing_is_broken_and_not_clean() -> None:
    rng = np.random.default_rng(6)
    whole = simulated_arms(rng, TRUTHS["gone"], FULL)
    others = {rate: (outcomes(rng, rate, 200), outcomes(rng, 0.95, 200)) for rate in (0.1, 0.8)}
    assert ruling(whole, others=others[0.1]).verdict == "broken"
    assert ruling(whole, others=others[0.8]).verdict == ruling(whole).verdict == "gone"


def test_a_quick_audit_claims_only_what_it_saw() -> None:
    rng = np.random.default_rng(7)
    for truth, rates in TRUTHS.items():
        verdict = ruling(simulated_arms(rng, rates, FULL), Rules(quick=True))
        expected = truth if truth in ("not erased", "hidden") else "inconclusive"
        assert verdict.verdict == expected
        assert ("A quick audit cannot say" in verdict.reasons[0]) == (expected != truth)
        assert set(verdicts(rates, 60, 1)) <= QUICK  # by the number of pictures


def test_a_judge_s_errors_take_from_the_margin() -> None:
    whole = simulated_arms(np.random.default_rng(8), TRUTHS["gone"], FULL)
    poor, blind = JudgeError(Rate(70, 100), Rate(90, 100)), JudgeError(Rate(3, 5), Rate(3, 5))
    assert ruling(whole, judge=JudgeError(Rate(990, 1000), Rate(995, 1000))).verdict == "gone"
    assert ruling(whole, judge=poor).verdict == "inconclusive" and ruling(whole, judge=poor).pictures
    assert ruling(whole, judge=blind).verdict == "inconclusive" and ruling(whole, judge=blind).pictures is None


def test_a_ruling_is_of_json_and_of_sentences() -> None:
    one = ruling(simulated_arms(np.random.default_rng(9), TRUTHS["hidden"], 60))
    numbers = json.loads(json.dumps(one.numbers()))
    assert numbers["verdict"] == "hidden" and numbers["attacks"][1]["attack"] == "cce"
    assert 0 < numbers["attacks"][1]["recovery"]["value"] < 1 and numbers["attacks"][1]["beyond"] < 0.05
    assert all(reason[0].isupper() and reason.endswith(".") for reason in one.reasons)
    assert "Cce brings it back in" in one.reasons[1]


def test_what_decides_nothing_is_refused() -> None:
    never = Outcomes((False,) * 40)
    with pytest.raises(BadArgument, match="nothing to hold 'cce' against"):
        Arms("cce", never, never)
    with pytest.raises(BadArgument, match="the arms of no attack first"):
        ruling([Arms("cce", never, never, oracle=never)])
    with pytest.raises(BadArgument, match="there is nothing to erase"):
        ruling([Arms(NAMED, never, never, oracle=never)])
    with pytest.raises(BadArgument, match="margin is 0"):
        Rules(margin=0.0)
