"""What a rater sees: checks among items, repeats well after, sides by chance; and nothing of it on the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from study.studies import PLAN, picture, small_study

from turpentine.core.errors import BadArgument
from turpentine.study.estimate import needs_of
from turpentine.study.study import read_study
from turpentine.study.trials import in_order, units_of

CHOICE = "  - {name: closer, kind: choice, text: 'Which is closer to {subject}?'}\n"


def test_an_order_has_all_items_once_checks_spread_and_repeats_after() -> None:
    for seed in range(30):
        order = in_order(20, 0.2, 3, np.random.default_rng(seed))
        assert sorted(number for kind, number in order if kind == "item") == list(range(20))
        repeats = [number for kind, number in order if kind == "repeat"]
        assert len(repeats) == 4
        assert all(order.index(("repeat", each)) - order.index(("item", each)) >= 4 for each in repeats)
        checks = [place for place, (kind, _) in enumerate(order) if kind == "attention"]
        assert len(checks) == 3 and min(np.diff(checks)) >= 2


def test_pairs_are_of_one_subject_prompt_and_seed_and_change_sides(tmp_path: Path) -> None:
    plan = PLAN.replace("questions:\n", "questions:\n" + CHOICE).replace("items_per_rater: 4", "items_per_rater: 8")
    study = small_study(tmp_path, plan=plan)
    pairs = [unit for unit in study.units if len(unit.items) == 2]
    assert len(pairs) == 4  # pictures of one number by the two conditions, of each subject
    assert all(
        one.subject == other.subject and one.condition != other.condition
        for one, other in (unit.items for unit in pairs)
    )
    trials = [trial for slot in range(study.raters) for trial in study.trials(slot)]
    sides = Counter(trial.sides for trial in trials if trial.question.kind == "choice" and trial.unit)
    assert set(sides) == {(0, 1), (1, 0)}
    checks = [trial for trial in trials if trial.question.kind == "choice" and not trial.unit]
    for trial in checks:
        real = trial.stills[("left", "right").index(trial.right_answers[0])]
        assert real in study.examples[trial.subject]


def test_known_answers_are_known(tmp_path: Path) -> None:
    study = small_study(tmp_path, ("practice=6",))
    for trial in study.trials(0):
        if trial.right_answers:
            is_real = trial.stills[0] in study.examples[trial.subject]
            assert trial.right_answers == (("4", "5") if is_real else ("1", "2"))
    assert {trial.right_answers for trial in study.trials(0) if trial.phase == "practice"} == {("4", "5"), ("1", "2")}


def test_a_number_decides_what_a_rater_sees_and_a_picture_the_plans_hash(tmp_path: Path) -> None:
    one, other = small_study(tmp_path), small_study(tmp_path)
    assert one.hash == other.hash
    keys = [[trial.key for trial in study.trials(1)] for study in (one, other)]
    assert keys[0] == keys[1]
    assert one.hash != small_study(tmp_path, ("seed=4",)).hash
    picture((1, 1, 1), 3).save(tmp_path / "pictures" / "real" / "ada" / "0.png")
    assert read_study(str(tmp_path / "study.yaml")).hash != one.hash


def test_a_question_is_about_its_conditions_alone(tmp_path: Path) -> None:
    study = small_study(tmp_path, ("questions.0.conditions=[erased]",))
    assert {item.condition for unit in study.units for item in unit.items} == {"erased"}
    assert units_of(study.items, []) == ()
    with pytest.raises(BadArgument, match="Checks need a question about the"):
        small_study(tmp_path, ("questions.0.text=How good is it?",)).trials(0)


def test_what_a_study_takes_and_shows(tmp_path: Path) -> None:
    needs = needs_of(small_study(tmp_path))
    assert needs.items == {"erased": 4, "real": 4}
    assert (needs.raters, needs.trials) == (4, 3 + 4 + 1 + 1)
    assert needs.minutes == pytest.approx(9 * 6 / 60)
    [power] = needs.powers
    assert (power.items, power.answers) == (4, 8)
    assert 0 < power.power < 0.8 and power.detectable > power.difference
    more = needs_of(small_study(tmp_path, ("ratings=8",)))
    assert more.powers[0].power > power.power and more.raters == 16


def test_what_choices_show_and_that_there_are_some(tmp_path: Path) -> None:
    plan = PLAN.replace("kind: rating", "kind: choice")
    study = small_study(tmp_path, ("ratings=20",), plan)
    assert {tuple(item.seed for item in unit.items) for unit in study.units} == {(0, 0), (1, 1)}
    needs = needs_of(study)
    assert needs.powers == () and needs.pairs == 4
    [power] = needs.choices
    assert (power.conditions, power.pairs, power.answers) == (("erased", "real"), 4, 80)
    surer = needs_of(small_study(tmp_path, ("ratings=20", "power={icc: 0, ties: 0}"), plan)).choices[0]
    assert 0.5 < surer.detectable < power.detectable < 1 and surer.power > power.power
    with pytest.raises(BadArgument, match=r"study.yaml, line \d+: likeness compares pictures of one subject"):
        small_study(tmp_path, ("questions.0.conditions=[real]",), plan)
