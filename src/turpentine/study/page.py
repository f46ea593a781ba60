"""The page of a study: bars with intervals, the grid of what was forgotten by what is asked, agreement, exclusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from turpentine.core.atomic_files import write_text_whole
from turpentine.core.formatting import counted, percent, two_digits
from turpentine.report.pictures import data_uri
from turpentine.report.template import fill
from turpentine.stats.bradley_terry import Strengths
from turpentine.stats.intervals import Estimate
from turpentine.study.analysis import ConditionBar, Findings, QuestionResult
from turpentine.study.items import subjects_of
from turpentine.study.judge_table import JudgeTable
from turpentine.study.spec import Exclusions

WIDTH = 300
_LARGEST = 96


@dataclass(frozen=True)
class ConditionStrip:
    """A bar as it is drawn, from 0 to `WIDTH`.

    Attributes:
        name: Of the condition.
        note: What it is a control for, "" for none.
        base: Where the bar begins.
        x: The mean.
        low: The interval's lower end.
        high: Its upper end.
        everybody: The mean with those who are excluded; None where it is the same.
        text: The mean.
        ends: The interval.
        change: From the original, "" for none.
        count: How many answers, raters and pictures.
    """

    name: str
    note: str
    base: float
    x: float
    low: float
    high: float
    everybody: float | None
    text: str
    ends: str
    change: str
    count: str


_NOTES = {
    "original": "not edited",
    "oracle": "never saw it",
    "real": "real pictures",
    "similar": "of a similar artist",
    "edited": "",
}


def write_study_page(
    findings: Findings,
    judges: Sequence[JudgeTable],
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    command: str = "",
) -> Path:
    """Write the page of a study as one HTML file, whole or not at all, and return its path.

    Args:
        findings: What the answers say.
        judges: Against people.
        path: Of the file.
        names: Letters in the place of conditions, for a look that is blind; None for their names.
        command: The command line, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    called = names or {}
    html = fill(
        "study_page.html",
        title=findings.study.spec.title,
        about=findings.study.spec.about,
        lead=_lead(findings),
        blocks=[_block(findings, number, called) for number in range(len(findings.results["kept_raters"]))],
        width=WIDTH,
        judges=[_judge(each) for each in judges],
        excluded=[] if names else _excluded(findings),
        facts=_facts(findings),
        command=command,
    )
    return write_text_whole(path, html)


def _lead(findings: Findings) -> str:
    states = findings.states
    listed = ", ".join(f"{count} {_STATES.get(state, state)}" for state, count in states.items())
    left_out = counted(len(findings.excluded), "rater")
    return (
        f"{counted(sum(states.values()), 'rater')} ({listed}) gave {counted(len(findings.table), 'answer')}; "
        f"the answers of {left_out} are left out by the plan's rules. The middle answer took {findings.seconds:.1f} s."
    )


_STATES = {"done": "to the end", "active": "not at the end", "stopped": "stopped", "unqualified": "not qualified"}


def _block(findings: Findings, number: int, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows of a question."""
    result = findings.results["kept_raters"][number]
    others = findings.results["all_raters"]
    whole = next((each for each in others if each.question.name == result.question.name), result)
    everybody = {bar.condition: bar.estimate.value for bar in whole.bars}
    is_rating = result.question.kind == "rating"
    return {
        "name": result.question.name,
        "text": result.question.worded("…", "…"),
        "kind": result.question.kind,
        "ticks": ["1", "2", "3", "4", "5"] if is_rating else ["0 %", "25 %", "50 %", "75 %", "100 %"],
        "low": result.question.low if is_rating else "no",
        "high": result.question.high if is_rating else "yes",
        "strips": [_strip(bar, is_rating, everybody.get(bar.condition), names) for bar in result.bars],
        "grids": _grids(findings, result, names),
        "agreement": [
            (
                _AGREEMENT.get(name, name),
                two_digits(each.value),
                _ends(each, (whole.agreement or {}).get(name)),
            )
            for name, each in (result.agreement or {}).items()
        ],
        "repeats": _repeats(result),
        **_ranking(result, whole.strengths, names),
    }


_AGREEMENT = {
    "alpha, nominal": "Krippendorff’s α, same answer or not",
    "alpha, ordinal": "Krippendorff’s α, by rank",
    "alpha, interval": "Krippendorff’s α, by distance",
    "ICC(2,1)": "Reliability of one person’s rating, ICC(2,1)",
    "ICC(2,k)": "Reliability of the mean, ICC(2,k)",
}


def _ends(estimate: Estimate, everybody: Estimate | None) -> str:
    """Return the interval of an agreement, and the agreement of all raters where it is another one."""
    ends = f"{two_digits(estimate.low)} to {two_digits(estimate.high)}"
    if everybody is None or everybody == estimate:
        return ends
    return f"{ends}; with those who are left out {two_digits(everybody.value)}"


def _strip(bar: ConditionBar, is_rating: bool, everybody: float | None, names: Mapping[str, str]) -> ConditionStrip:
    value, low, high = (_place(each, is_rating) for each in bar.estimate)
    other = None if everybody is None or everybody == bar.estimate.value else _place(everybody, is_rating)
    unsure = f", {percent(bar.unsure)} unsure" if bar.unsure else ""
    count = f"{counted(bar.answers, 'answer')}{unsure}, {counted(bar.items, 'picture')}, {counted(bar.raters, 'rater')}"
    number, ends = _words(bar.estimate, is_rating)
    change = ""
    if bar.change is not None:
        one, two = _words(Estimate(*bar.change), is_rating, signed=True)
        change = f"{one} ({two}) from the original"
    note = "" if names else _NOTES[bar.role]
    return ConditionStrip(
        names.get(bar.condition, bar.condition), note, 0.0, value, low, high, other, number, ends, change, count
    )


def _words(estimate: Estimate, is_rating: bool, signed: bool = False) -> tuple[str, str]:
    """Return a number and its interval, as they are written."""
    plus = "+" if signed else ""
    least, most = ((-4.0, 4.0) if is_rating else (-1.0, 1.0)) if signed else ((1.0, 5.0) if is_rating else (0.0, 1.0))

    def one(value: float) -> str:
        within = min(most, max(least, value))
        text = f"{within:{plus}.2f}" if is_rating else f"{100 * within:{plus}.0f}"
        return (text if float(text) else text.strip("+-")).replace("-", "−")

    unit = " points" if signed else "" if is_rating else "\u202f%"
    return f"{one(estimate.value)}{unit}", f"{one(estimate.low)} to {one(estimate.high)}"


def _place(value: float, is_rating: bool) -> float:
    share = (value - 1) / 4 if is_rating else value
    return round(WIDTH * min(1.0, max(0.0, share)), 1)


def _grids(findings: Findings, result: QuestionResult, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the grids of Figure 0.8: what was to be forgotten, by what is asked, with a picture of each."""
    is_rating = result.question.kind == "rating"
    grids = []
    for condition in dict.fromkeys(condition for condition, _, _ in result.grid or {}):
        cells = {
            (erased, subject): each
            for (name, erased, subject), each in (result.grid or {}).items()
            if name == condition
        }
        order = subjects_of(findings.study.items)
        subjects = [each for each in order if any(subject == each for _, subject in cells)]
        erased_names = sorted({erased for erased, _ in cells}, key=lambda each: (*order, each).index(each))
        if len(erased_names) < 2 or not any(erased != subject for erased, subject in cells):
            continue
        rows = [
            (erased, [_cell(findings, condition, erased, subject, cells, is_rating) for subject in subjects])
            for erased in erased_names
        ]
        grids.append({"name": names.get(condition, condition), "subjects": subjects, "rows": rows})
    return grids


def _cell(
    findings: Findings,
    condition: str,
    erased: str,
    subject: str,
    cells: Mapping[tuple[str, str], Estimate],
    is_rating: bool,
) -> dict[str, Any] | None:
    estimate = cells.get((erased, subject))
    if estimate is None:
        return None
    items = (
        item
        for item in findings.study.items
        if (item.condition, item.erased, item.subject) == (condition, erased, subject) and not item.still.blur
    )
    item = next(items, None)
    number, ends = _words(estimate, is_rating)
    uri = data_uri(item.still.image(), _LARGEST) if item else ""
    return {"picture": uri, "number": number, "ends": ends, "is_own": erased == subject}


def _ranking(result: QuestionResult, everybody: Strengths | None, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the strengths of conditions that were chosen between, from the strongest down."""
    strengths = result.strengths
    if strengths is None:
        groups = [", ".join(names.get(each, each) for each in group) for group in result.separate]
        separate = groups if result.question.kind == "choice" else []
        return {"strengths": [], "scale": [], "sides": "", "separate": separate}
    whole = everybody.strengths if everybody else {}
    reach = ceil(2 * max(max(-each.low, each.high) for each in strengths.strengths.values())) / 2
    strips = [
        _strength_strip(names.get(name, name), each, whole.get(name), reach)
        for name, each in sorted(strengths.strengths.items(), key=lambda pair: -pair[1].value)
    ]
    scale = [f"{reach * part:+.4g}".replace("+0", "0").replace("-", "−") for part in (-1, -0.5, 0, 0.5, 1)]
    return {"strengths": strips, "scale": scale, "sides": _sides(strengths), "separate": []}


def _strength_strip(name: str, strength: Estimate, everybody: Estimate | None, reach: float) -> ConditionStrip:
    """Return a strength as it is drawn, from −reach to reach with 0 in the middle."""

    def place(value: float) -> float:
        return round(WIDTH * min(1.0, max(0.0, (value + reach) / (2 * reach))), 1)

    other = None if everybody is None or everybody.value == strength.value else place(everybody.value)
    ends = f"{two_digits(strength.low)} to {two_digits(strength.high)}"
    places = place(strength.value), place(strength.low), place(strength.high)
    return ConditionStrip(name, "", WIDTH / 2, *places, other, two_digits(strength.value), ends, "", "")


def _sides(strengths: Strengths) -> str:
    """Return how much the left side is preferred, and how often there is no difference."""
    left, ties = strengths.left, percent(strengths.tie / (2 + strengths.tie))
    words = "Whether a side is preferred cannot be told from these choices"
    if left is not None:
        ends = f"{two_digits(left.low)} to {two_digits(left.high)}"
        words = f"The left side is preferred by {two_digits(left.value)} ({ends}) on the same scale"
    return f"{words}; of two equal ones {ties} are no difference."


def _repeats(result: QuestionResult) -> str:
    alike, total = result.repeats
    if not total:
        return ""
    kappa = "" if result.kappa is None else f" (α {two_digits(result.kappa)})"
    return f"Of {counted(total, 'picture')} that came twice, {alike} got the same answer{kappa}."


def _judge(table: JudgeTable) -> tuple[str, str, str, str, int]:
    def words(rate: Any) -> str:
        return f"{percent(rate.value)} ({100 * rate.low:.0f}–{100 * rate.high:.0f}) of {rate.n}"

    return table.concept, table.judge, words(table.sensitivity), words(table.specificity), table.undecided


def _facts(findings: Findings) -> dict[str, str]:
    spec = findings.study.spec
    right, total = findings.attention
    return {
        "items": f"{len(findings.study.items)}, {counted(spec.ratings, 'rating')} each",
        "attention checks": f"{right} of {total} right",
        "left out": "; ".join(_rules(spec.exclusions)),
        "source": spec.source or "none",
        "plan": findings.study.hash,
    }


def _rules(rules: Exclusions) -> list[str]:
    """Return whose answers are left out, in words."""
    wrong = "" if rules.attention is None else f"more than {counted(rules.attention, 'attention check')} wrong"
    return [
        "not qualified",
        *([wrong] if wrong else []),
        *([f"a middle answer in less than {rules.fastest} ms"] if rules.fastest else []),
        *([f"less than {percent(rules.repeats)} of repeats answered alike"] if rules.repeats else []),
        *([f"more than {percent(rules.straight)} one and the same answer"] if rules.straight < 1 else []),
        *([f"less than {percent(rules.complete)} of the items answered"] if rules.complete else []),
    ]


def _excluded(findings: Findings) -> list[tuple[str, str]]:
    """Return why raters are left out, the commonest reason first, and who they are."""
    raters: dict[str, list[str]] = {}
    for rater, why in findings.excluded.items():
        raters.setdefault(", ".join(why), []).append(rater)
    return sorted(((why, ", ".join(each)) for why, each in raters.items()), key=lambda pair: -pair[1].count(","))
