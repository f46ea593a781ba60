"""The page of an audit: the verdict and why, R, a row for each arm, pictures, what else broke, and the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from turpentine.attack.attacked import sheet
from turpentine.attack.controls import EDITED, ORIGINAL
from turpentine.audit.audited import Audited
from turpentine.audit.evidence import AttackEvidence
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.formatting import counted, file_size, percent
from turpentine.report.pictures import PagePlot, plot_of, sheet_of
from turpentine.report.template import fill
from turpentine.stats.intervals import Difference

SEEDS = 10
"""Pictures of each model that stand side by side."""
FROM, TO = -0.25, 1.25
"""Of the axis of R."""
LABELS = {"forward": "rows of the denoiser", "text": "texts encoded", "judged": "pictures judged"}


@dataclass(frozen=True)
class RecoveryLine:
    """A number with its interval as a dot on a line.

    Attributes:
        name: What it is of.
        text: The number in words; "" for none.
        places: The lower end, the number and the upper end on the axis, 0 to 100; none where there is no number.
        note: Beside it.
    """

    name: str
    text: str
    places: tuple[float, float, float] | None
    note: str


def write_audit_page(audited: Audited, path: Path, *, command: str = "") -> Path:
    """Write the page of an audit as one HTML file, whole or not at all, and return its path.

    Args:
        audited: What came out.
        path: Of the file.
        command: The command line, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    html = fill(
        "audit_page.html",
        audited=audited,
        concept=audited.protocol["concept"]["text"],
        second=audited.second_sentence(),
        strips=[_strip(each) for each in audited.ruling.evidence],
        marks=[(_place(value), value) for value in (0, 1)],
        tables=[_arms(audited, judge) for judge in audited.judges],
        corrected=_corrected(audited),
        strongest=audited.strongest.arms.attack,
        sheets=list(_sheets(audited)),
        curves=list(_curves(audited)),
        damage=_damage(audited),
        size=_size(audited),
        deep=_deep(audited),
        facts=_facts(audited),
        not_tried=audited.not_tried,
        command=command,
    )
    return write_text_whole(path, html)


def _strip(evidence: AttackEvidence) -> RecoveryLine:
    share = evidence.arms.recovery
    power = {None: "", True: "opens what only hides", False: "no power here"}[evidence.power]
    if share is None:
        return RecoveryLine(evidence.arms.attack, "", None, "the original shows no more than the reference")
    places = (_place(share.low), _place(share.value), _place(share.high))
    return RecoveryLine(evidence.arms.attack, recovery_text(share), places, power)


def recovery_text(share: Difference) -> str:
    """Return R with its interval, as `0.42 (0.31 to 0.55)`.

    Example:
        >>> recovery_text(Difference(0.424, -0.01, 0.55))
        '0.42 (−0.01 to 0.55)'
    """
    value, low, high = (f"{each:.2f}".replace("-", "−") for each in share)
    return f"{value} ({low} to {high})"


def _place(value: float) -> float:
    return round(100 * (min(TO, max(FROM, value)) - FROM) / (TO - FROM), 2)


Cell = tuple[str, str]
"""A rate, and its interval and number of pictures; "" for both where an arm was not drawn."""
Rows = list[tuple[str, list[Cell]]]


def _arms(audited: Audited, judge: str) -> tuple[str, list[str], Rows]:
    """Return a judge's name, the arms, and a row of rates in words for each attack or group of prompts."""
    table = audited.table.filter(pl.col("judge") == judge)
    arms: list[str] = table["arm"].unique(maintain_order=True).to_list()
    rows = [{**row, "value": row["rate"]} for row in table.rows(named=True)]
    return judge, arms, _cells(rows, arms)


def _corrected(audited: Audited) -> tuple[list[str], Rows] | None:
    """Return the arms and the rates behind those that the judge sees; None where it counts as perfect."""
    rows = audited.corrected()
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    return (arms, _cells(rows, arms)) if rows else None


def _cells(rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> Rows:
    words = {(row["attack"], row["arm"]): _cell(row) for row in rows}
    return [
        (name, [words.get((name, arm), ("", "")) for arm in arms]) for name in dict.fromkeys(r["attack"] for r in rows)
    ]


def _cell(row: Mapping[str, Any]) -> Cell:
    n = f", n {row['n']}" if "n" in row else ""
    return percent(row["value"]), f"{100 * row['low']:.0f}–{100 * row['high']:.0f}{n}"


def _sheets(audited: Audited) -> Iterator[tuple[str, PagePlot]]:
    """Yield each model's pictures of the strongest attack: the original's first, of the same seeds."""
    attack = audited.strongest.arms.attack
    own = audited.batteries["edited"].outcomes
    models = {
        "original": own[attack, ORIGINAL],
        **{k: v.outcomes[attack, EDITED] for k, v in audited.batteries.items()},
    }
    for name, outcome in models.items():
        pictures = outcome.pictures[:SEEDS]
        yield name, sheet_of(sheet(pictures), pictures[0].width)


def _curves(audited: Audited) -> Iterator[tuple[str, PagePlot]]:
    """Yield a plot for each attack of several stages: R, and every arm's success, against what was spent."""
    for attack, curve in audited.recovery_curves().items():
        tables = {name: each.outcomes[attack, EDITED].table for name, each in audited.batteries.items()}
        if len(tables["edited"]) < 2:
            continue
        unit = next((each for each in LABELS if tables["edited"][each].max()), "forward")
        figure = Figure(figsize=(4.2, 4.4), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        above.fill_between(curve["spent"].to_list(), curve["low"].to_list(), curve["high"].to_list(), alpha=0.2)
        above.plot(curve["spent"].to_list(), curve["recovery"].to_list(), marker="o")
        above.axhline(0, color="gray", linewidth=0.8)
        above.set(title=attack, ylabel="R", ylim=(min(FROM, -0.3), max(TO, 1.3)))
        for name, table in tables.items():
            below.plot(table[unit].to_list(), table["success"].to_list(), marker="o", label=name)
        below.set(xlabel=LABELS[unit], ylabel="pictures with it", ylim=(-0.03, 1.03))
        figure.legend(loc="outside lower center", ncols=min(3, len(tables)), fontsize="small")
        yield attack, plot_of(figure)


def _damage(audited: Audited) -> list[tuple[str, str, str, str, str]]:
    """Return rows of what else broke, in words: measure, original, edited, change, and whether it is whole."""
    if audited.damage is None:
        return []
    rows = []
    for row in audited.damage.table.rows(named=True):
        before, after = (_number(row["unit"], row[name]) for name in ("original", "edited"))
        low, change, high = (_number(row["unit"], row[name], sign=True) for name in ("low", "change", "high"))
        span = f" ({low} to {high})" if row["low"] != row["high"] else ""
        unit = "" if row["unit"] in ("rate", "count") else f", {row['unit']}"
        rows.append((f"{row['measure']}{unit}", before, after, f"{change}{span}", row["whole"] or ""))
    return rows


def _number(unit: str, value: float, *, sign: bool = False) -> str:
    form = {"rate": f"{100 * value:+.0f}", "count": f"{value:+.0f}"}.get(unit, f"{value:+.3g}")
    text = form if sign and float(form) else form.lstrip("+-") if not float(form) else form.removeprefix("+")
    return text.replace("-", "−") + (" %" if unit == "rate" and not sign else "")


def _size(audited: Audited) -> str:
    size = audited.damage.size if audited.damage else {}
    if not size.get("weights"):
        return "It changes no weight."
    share = size["weights"] / size["of_denoiser"]
    return (
        f"It changes {size['weights']:,} weights at {counted(size['sites'], 'site')}, {file_size(size['bytes'])}: "
        f"{100 * share:.1f} % of as many as the denoiser has."
    )


def _deep(audited: Audited) -> list[tuple[str, str]]:
    """Return FADE in both directions and the depth score, in words; nothing without an oracle."""
    if not audited.deep:
        return []
    fades: list[tuple[str, str]] = [
        (f"FADE, {name}", f"{each['value']:.4f} ({each['low']:.4f} to {each['high']:.4f})".replace("-", "−"))
        for name, each in audited.deep.items()
        if name != "modules"
    ]
    score = "none" if audited.depth is None else f"{audited.depth:.2f} (1 as the oracle, 0 as the original)"
    return [*fades, ("Depth score", score)]


def _facts(audited: Audited) -> Mapping[str, str]:
    protocol: Mapping[str, Any] = audited.protocol
    error = protocol["judge_error"]
    facts = {
        "model": audited.title,
        "judge": str(protocol["judge"][0]),
        "how often it is right": _right(error) if error else "counted as always",
        "second judge": str(protocol["second"][0]) if protocol["second"] else "none is here",
        "attacks": "; ".join(f"{name} ({_listed(settings)})" for name, settings in protocol["attacks"]),
        "no time for": ", ".join(protocol["left_out"]) or "none was left out",
        "budget": _listed({name: each for name, each in protocol["budget"].items() if each is not None}) or "no limit",
        "drawing": _listed(protocol["trial"]),
        "rules": _listed(protocol["rules"]),
        "never seen": str(protocol["never"] or "none"),
        "held-out prompts": f"{len(protocol['prompts'])}, such as {protocol['prompts'][0]!r}",
        "protocol": audited.numbers()["protocol_sha256"][:16],
    }
    return facts | ({"the file gives away": _leaked(audited.leak)} if audited.leak else {})


def _right(error: Mapping[str, Any]) -> str:
    rates = [f"{name} {error[name][0]} of {error[name][1]}" for name in ("sensitivity", "specificity")]
    return f"{', '.join(rates)}, by {error['source']}"


def _leaked(leak: Mapping[str, Any]) -> str:
    most: Sequence[str] = leak["sites_of_most"]
    text = f"{leak['sites']} of {leak['sites_in_all']} sites; nine tenths of the change in {len(most)}, first {most[0]}"
    zeros = f"; {leak['zeros']:,} weights become 0" if leak["zeros"] else ""
    rank = f"; rank {leak['largest_rank']} at most" if leak["largest_rank"] else ""
    return text + zeros + rank


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in values.items())
