"""What simulated raters come to: conditions in their order, careless raters left out, the judge's errors, the page."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from study.raters import simulated
from study.studies import PLAN, small_study

from turpentine.attack.harness import concept_judge
from turpentine.audit.calibration import read_calibration
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.judges import EmojiJudge
from turpentine.stats.intervals import Estimate
from turpentine.study.analysis import Findings, analyse
from turpentine.study.answers import answer_table, blind_names, blinded, write_answers
from turpentine.study.exclusions import repeat_pairs
from turpentine.study.items import StudyItem
from turpentine.study.judge_table import judge_tables
from turpentine.study.page import _words, write_study_page
from turpentine.study.study import Study

QUESTIONS = """questions:
  - {name: there, kind: presence, text: 'Is it by {subject}?'}
  - {name: closer, kind: choice, text: 'Which is closer to {subject}?'}
"""
FULL = (
    PLAN.replace("questions:\n", QUESTIONS)
    .replace("ratings: 2", "ratings: 12")
    .replace("items_per_rater: 4", "items_per_rater: 8")
    .replace("attention: 1", "attention: 3")
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study whose judge is wrong of one picture that people see the subject in."""
    whole = small_study(tmp_path_factory.mktemp("study"), plan=FULL)
    items, seen = [], set()
    for item in whole.items:
        is_first = item.condition == "real" and item.subject not in seen
        if is_first:
            seen.add(item.subject)
        values = {name: getattr(item, name) for name in StudyItem.__dataclass_fields__}
        values |= {"judged": item.condition == "real" and not is_first, "judge": "emoji"}
        items.append(StudyItem(**values))
    return Study(whole.name, whole.spec, tuple(items), whole.examples)


@pytest.fixture(scope="module")
def table(study: Study) -> pl.DataFrame:
    return answer_table(study, *simulated(study, careless=2))


@pytest.fixture(scope="module")
def findings(study: Study, table: pl.DataFrame) -> Findings:
    return analyse(study, table, ["done"] * study.raters)


def test_conditions_come_in_the_order_of_what_they_are_like(findings: Findings) -> None:
    there, closer, likeness = findings.results["kept_raters"]
    assert [bar.condition for bar in likeness.bars] == [bar.condition for bar in there.bars] == ["real", "erased"]
    real, erased = likeness.bars
    assert real.estimate.low > erased.estimate.high
    assert (real.role, real.items, erased.items) == ("real", 4, 4)
    assert closer.strengths is not None
    strengths = closer.strengths.strengths
    assert strengths["real"].low > 0 > strengths["erased"].high
    left = closer.strengths.left
    assert left is None or left.low < 0 < left.high, "no side is preferred"
    assert likeness.agreement is not None
    assert set(likeness.agreement) == {"alpha, nominal", "alpha, ordinal", "alpha, interval", "ICC(2,1)", "ICC(2,k)"}
    assert likeness.agreement["ICC(2,k)"].value > likeness.agreement["ICC(2,1)"].value > 0.4


def test_careless_raters_are_left_out_and_both_results_are_given(findings: Findings, study: Study) -> None:
    assert set(findings.excluded) == {"0000", "0001"}
    assert all("attention check" in " ".join(why) for why in findings.excluded.values())
    kept, everybody = (findings.results[who][2].bars for who in ("kept_raters", "all_raters"))
    assert {bar.condition: bar.answers for bar in everybody}["real"] == 4 * 12
    assert sum(bar.answers for bar in kept) < sum(bar.answers for bar in everybody)
    numbers = json.loads(json.dumps(findings.numbers()))
    assert numbers["plan"] == study.hash
    assert {each["question"] for each in numbers["all_raters"]} == {"there", "closer", "likeness"}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("fastest=100000", "too fast"),
        ("straight=0.1", "one and the same answer"),
        ("repeats=1", "repeated items answered otherwise"),
        ("complete=1", "answers"),
    ],
)
def test_each_rule_leaves_somebody_out_and_says_why(rule: str, reason: str, tmp_path: Path) -> None:
    study = small_study(tmp_path, (f"exclusions.{rule}", "exclusions.attention=9"), plan=FULL)
    raters, answers = simulated(study, seed=5)
    table = answer_table(study, raters, answers[:-1])
    if rule != "complete=1":
        table = answer_table(study, raters, answers)
    reasons = " ".join(" ".join(why) for why in analyse(study, table, []).excluded.values())
    assert reason in reasons


def test_a_pair_that_changed_sides_is_the_same_answer_turned_round(study: Study, table: pl.DataFrame) -> None:
    rows = table.filter((pl.col("kind") == "choice") & (pl.col("phase") == "item")).head(1)
    turned = rows.with_columns(
        pl.lit("repeat").alias("phase"),
        pl.col("other_condition").alias("condition"),
        pl.col("condition").alias("other_condition"),
        pl.lit("right").alias("value"),
    )
    both = pl.concat([rows.with_columns(pl.lit("left").alias("value")), turned])
    assert repeat_pairs(both) == [("choice", "left", "left")]


def test_a_judge_is_held_against_people(study: Study, table: pl.DataFrame, tmp_path: Path) -> None:
    tables = judge_tables(study, table, ["0000", "0001"])
    assert sorted(each.concept for each in tables) == ["ada", "ben"]
    for each in tables:
        content = json.loads(each.write(tmp_path).read_text())
        assert content == {
            "schema": 1,
            "judge": "emoji",
            "concept": each.concept,
            "sensitivity": [1, 2],
            "specificity": [2, 2],
            "plan": study.hash,
        }
    assert (tmp_path / "judge-error-ada.json").is_file()


def test_an_audit_takes_what_a_study_says_of_a_judge(study: Study, table: pl.DataFrame, tmp_path: Path) -> None:
    concept = Concept("church")
    path = replace(judge_tables(study, table, ["0000", "0001"])[0], concept="church").write(tmp_path)
    calibration = read_calibration(path, concept_judge(EmojiJudge(), concept), concept)
    assert (calibration.error.sensitivity.hits, calibration.error.specificity.n) == (1, 2)
    assert study.hash in json.dumps(calibration.numbers())


def test_the_page_says_it_all_and_a_blind_one_does_not(
    study: Study, table: pl.DataFrame, findings: Findings, tmp_path: Path
) -> None:
    page = write_study_page(findings, judge_tables(study, table), tmp_path / "study.html").read_text()
    for text in ("With what, and who was left out", "ICC(2,1)", "Bradley", "The judge against people", "real pictures"):
        assert text in page
    assert "http://" not in page and "None" not in page
    assert "more than 0 attention checks wrong" in page and "attention 0" not in page
    reasons = {", ".join(why) for why in findings.excluded.values()}
    assert all(f"<dt>{why}</dt>" in page for why in reasons) and page.count("<dt>") < 40
    assert page.count('class="everybody"') >= 2  # means and strengths, with those who are left out
    names = blind_names(study)
    assert sorted(names.values()) == ["A", "B"]
    blind = write_study_page(findings, [], tmp_path / "blind.html", names=names).read_text()
    assert "erased" not in blind and "real" not in blind.replace("really", "")


def test_answers_are_written_with_their_plan(study: Study, table: pl.DataFrame, tmp_path: Path) -> None:
    frames = {}
    for form in ("parquet", "csv", "json"):
        path, plan = write_answers(table, study, tmp_path, form)  # type: ignore[arg-type]
        assert json.loads(plan.read_text())["plan"] == study.hash
        frames[form] = path
    assert pl.read_parquet(frames["parquet"]).equals(table)
    assert len(json.loads(frames["json"].read_text())) == len(table)
    with frames["csv"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == table["value"].to_list()
    assert {row["plan"] for row in rows} == {study.hash}
    hidden = blinded(table, blind_names(study))
    assert set(hidden["condition"].drop_nulls()) == {"A", "B"} and "unit" not in hidden.columns


def test_without_answers_there_is_nothing_to_say(study: Study) -> None:
    with pytest.raises(BadArgument, match="no answers yet"):
        analyse(study, answer_table(study, [], []), [])


def test_a_change_is_in_points_and_no_more_than_can_be() -> None:
    assert _words(Estimate(-0.86, -1.02, -0.71), is_rating=False, signed=True) == ("−86 points", "−100 to −71")
    assert _words(Estimate(0.43, -0.001, 0.86), is_rating=True, signed=True) == ("+0.43 points", "0.00 to +0.86")
    assert _words(Estimate(0.95, 0.77, 1.04), is_rating=False) == ("95\u202f%", "77 to 100")
