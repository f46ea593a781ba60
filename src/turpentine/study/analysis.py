"""What the answers say: of each condition with intervals over raters and pictures, with and without the excluded."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import polars as pl

from turpentine.core.errors import BadArgument
from turpentine.stats.agreement import Metric, alpha_with_interval, krippendorff_alpha
from turpentine.stats.bradley_terry import Choice, Strengths, fit_strengths, separate_groups
from turpentine.stats.icc import icc_with_interval
from turpentine.stats.intervals import Difference, Estimate
from turpentine.stats.two_way import two_way_difference, two_way_mean
from turpentine.study.exclusions import excluded_raters, repeat_pairs
from turpentine.study.spec import Question
from turpentine.study.study import Study

Who = Literal["kept_raters", "all_raters"]
_METRICS: Mapping[str, tuple[Metric, ...]] = {
    "rating": ("nominal", "ordinal", "interval"),
    "presence": ("nominal",),
    "choice": ("nominal",),
}


@dataclass(frozen=True)
class ConditionBar:
    """The answers to a question about one condition.

    Attributes:
        condition: Its name.
        role: edited, or a control.
        estimate: The mean of 1 to 5, or the rate of yes among yes and no.
        answers: How many.
        raters: How many.
        items: How many.
        unsure: Share of answers that are neither yes nor no.
        change: From the original; None where there is none.
    """

    condition: str
    role: str
    estimate: Estimate
    answers: int
    raters: int
    items: int
    unsure: float = 0.0
    change: Difference | None = None


@dataclass(frozen=True)
class QuestionResult:
    """What the answers to a question say.

    Attributes:
        question: The question.
        bars: Of controls, and of models that were to forget the subject, from the highest down.
        grid: By condition, what was erased and the subject: Figure 0.8 of the thesis.
        agreement: α by metric, and ICC(2,1) and ICC(2,k) of ratings.
        strengths: Of choices; None for others, and where conditions cannot be ranked together.
        separate: Groups that cannot be ranked together, the best first; one group if all can.
        repeats: How many repeated answers are alike, and of how many.
        kappa: Of repeated answers, α of a rater with himself; None of fewer than two.
    """

    question: Question
    bars: tuple[ConditionBar, ...] = ()
    grid: Mapping[tuple[str, str, str], Estimate] | None = None
    agreement: Mapping[str, Estimate] | None = None
    strengths: Strengths | None = None
    separate: tuple[tuple[str, ...], ...] = ()
    repeats: tuple[int, int] = (0, 0)
    kappa: float | None = None


@dataclass(frozen=True)
class Findings:
    """What a study comes to.

    Attributes:
        study: The study.
        table: All answers.
        states: How many raters are active, done, stopped and unqualified.
        excluded: Raters that are left out, with the reasons.
        results: Of each question, without those who are excluded, and with them.
        seconds: The middle answer's time.
        attention: Right attention checks, and all.
    """

    study: Study
    table: pl.DataFrame
    states: Mapping[str, int]
    excluded: Mapping[str, tuple[str, ...]]
    results: Mapping[Who, tuple[QuestionResult, ...]]
    seconds: float
    attention: tuple[int, int]

    def numbers(self) -> dict[str, Any]:
        """Return all numbers, as JSON has them."""
        return {
            "schema": 1,
            "plan": self.study.hash,
            "name": self.study.name,
            "raters": dict(self.states),
            "excluded": {rater: list(why) for rater, why in self.excluded.items()},
            "answers": len(self.table),
            "seconds": self.seconds,
            "attention": list(self.attention),
            **{who: [_numbers(each) for each in results] for who, results in self.results.items()},
        }


def analyse(study: Study, table: pl.DataFrame, states: Sequence[str]) -> Findings:
    """Return what the answers say.

    Args:
        study: Of the answers.
        table: All answers; see `answers.answer_table`.
        states: Of all raters.

    Raises:
        BadArgument: There are no answers.
    """
    items = table.filter(pl.col("phase") == "item")
    if not len(items):
        raise BadArgument("There are no answers yet: let somebody take part first.")
    excluded = excluded_raters(table, study)
    without = table.filter(~pl.col("rater").is_in(list(excluded)))
    checks = table.filter(pl.col("phase") == "attention")["right"]
    return Findings(
        study,
        table,
        {state: states.count(state) for state in dict.fromkeys(states)},
        excluded,
        {"kept_raters": _results(study, without), "all_raters": _results(study, table)},
        float(str(items["milliseconds"].median())) / 1000,
        (int(checks.sum()), len(checks)),
    )


def _results(study: Study, table: pl.DataFrame) -> tuple[QuestionResult, ...]:
    results = []
    for question in study.spec.questions:
        rows = table.filter(pl.col("question") == question.name)
        items = rows.filter(pl.col("phase") == "item")
        if len(items):
            results.append(_result(question, rows, items))
    return tuple(results)


def _result(question: Question, rows: pl.DataFrame, items: pl.DataFrame) -> QuestionResult:
    pairs = repeat_pairs(rows)
    alike = sum(one == other for _, one, other in pairs)
    kappa = None
    if len(pairs) > 1:
        value = krippendorff_alpha(
            {number: [_code(kind, one), _code(kind, other)] for number, (kind, one, other) in enumerate(pairs)},
            "interval" if question.kind == "rating" else "nominal",
        )
        kappa = None if value != value else value
    common = partial(
        QuestionResult, question, repeats=(alike, len(pairs)), kappa=kappa, agreement=_agreement(question, items)
    )
    if question.kind == "choice":
        groups, strengths = _ranking(items)
        return common(separate=groups, strengths=strengths)
    values = _valued(question, items)
    return common(bars=tuple(_bars(question, values, items)), grid=_grid(question, values))


def _valued(question: Question, items: pl.DataFrame) -> pl.DataFrame:
    """Return the answers with a number each: a rating, or 1 for yes and 0 for no."""
    if question.kind == "rating":
        return items.with_columns(pl.col("value").cast(pl.Float64).alias("number"))
    return items.filter(pl.col("value") != "unsure").with_columns(
        (pl.col("value") == "yes").cast(pl.Float64).alias("number")
    )


def _columns(rows: pl.DataFrame) -> tuple[list[float], list[Hashable], list[Hashable]]:
    return rows["number"].to_list(), rows["rater"].to_list(), rows["unit"].to_list()


def _bars(question: Question, values: pl.DataFrame, items: pl.DataFrame) -> list[ConditionBar]:
    """Return a bar for each condition: of edited ones, of what they were to forget."""
    is_own = (pl.col("erased") == "") | (pl.col("erased") == pl.col("subject"))
    own, asked_rows = values.filter(is_own), items.filter(is_own)
    originals = own.filter(pl.col("role") == "original")
    bars = []
    for (condition, role), rows in own.group_by("condition", "role", maintain_order=True):
        everything = asked_rows.filter(pl.col("condition") == condition)
        columns = _columns(rows)
        bars.append(
            ConditionBar(
                str(condition),
                str(role),
                two_way_mean(*columns, is_rate=question.kind == "presence"),
                len(everything),
                everything["rater"].n_unique(),
                everything["unit"].n_unique(),
                1 - len(rows) / len(everything),
                two_way_difference(columns, _columns(originals)) if len(originals) and role != "original" else None,
            )
        )
    return sorted(bars, key=lambda bar: -bar.estimate.value)


def _grid(question: Question, values: pl.DataFrame) -> dict[tuple[str, str, str], Estimate]:
    """Return a cell for each edited condition, what it was to forget, and the subject."""
    edited = values.filter(pl.col("role") == "edited")
    return {
        (str(condition), str(erased), str(subject)): two_way_mean(*_columns(rows), is_rate=question.kind == "presence")
        for (condition, erased, subject), rows in edited.group_by("condition", "erased", "subject", maintain_order=True)
    }


def _agreement(question: Question, items: pl.DataFrame) -> dict[str, Estimate]:
    """Return α by metric, and of ratings the ICCs; those that the answers do not give are left out."""
    units: dict[Hashable, list[float]] = {}
    rows = items.sort("unit", "rater")
    for unit, value, condition, other in rows.select("unit", "value", "condition", "other_condition").iter_rows():
        code = _code(question.kind, value)
        if question.kind == "choice" and value != "tie":  # which picture, not which side
            code = float((value == "left") == (condition < other))
        units.setdefault(unit, []).append(code)
    results = {}
    for metric in _METRICS[question.kind]:
        try:
            results[f"alpha, {metric}"] = alpha_with_interval(units, metric, rounds=100)
        except BadArgument:
            continue
    if question.kind == "rating":
        try:
            single, average = icc_with_interval(
                items["value"].cast(pl.Float64).to_list(), items["unit"].to_list(), items["rater"].to_list(), rounds=100
            )
            results |= {"ICC(2,1)": single, "ICC(2,k)": average}
        except BadArgument:
            pass
    return results


def _code(kind: str, value: str) -> float:
    if kind == "rating":
        return float(value)
    return float(("yes", "no", "unsure", "left", "right", "tie").index(value))


def _ranking(items: pl.DataFrame) -> tuple[tuple[tuple[str, ...], ...], Strengths | None]:
    """Return the groups that can be ranked among themselves, and the strengths where there is one group."""
    choices = [
        Choice(row["condition"], row["other_condition"], row["value"], row["rater"])
        for row in items.iter_rows(named=True)
    ]
    groups = tuple(tuple(each) for each in separate_groups(choices))
    return groups, fit_strengths(choices) if len(groups) == 1 else None


def _numbers(result: QuestionResult) -> dict[str, Any]:
    strengths = result.strengths
    return {
        "question": result.question.name,
        "kind": result.question.kind,
        "bars": [
            {
                "condition": bar.condition,
                "role": bar.role,
                **bar.estimate._asdict(),
                "answers": bar.answers,
                "raters": bar.raters,
                "items": bar.items,
                "unsure": bar.unsure,
                "change": bar.change._asdict() if bar.change else None,
            }
            for bar in result.bars
        ],
        "grid": [
            {"condition": condition, "erased": erased, "subject": subject, **estimate._asdict()}
            for (condition, erased, subject), estimate in (result.grid or {}).items()
        ],
        "agreement": {name: each._asdict() for name, each in (result.agreement or {}).items()},
        "strengths": None
        if strengths is None
        else {
            "conditions": {name: each._asdict() for name, each in strengths.strengths.items()},
            "left": strengths.left._asdict() if strengths.left else None,
            "tie": strengths.tie,
            "choices": strengths.choices,
        },
        "separate": [list(each) for each in result.separate],
        "repeats": list(result.repeats),
        "kappa": result.kappa,
    }
