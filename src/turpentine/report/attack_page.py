"""The page of a battery: for each attack what brought the concept back, how often beside its controls, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from turpentine.attack.attacked import Attacked, sheet
from turpentine.attack.controls import EDITED, NO_ATTACK, Battery
from turpentine.attack.leak import Leak
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.formatting import with_span
from turpentine.report.pictures import PagePlot, plot_of, sheet_of
from turpentine.report.template import fill

SITES = 12
"""Sites of a file that the page names."""


@dataclass(frozen=True)
class AttackPart:
    """What the page says of one attack.

    Attributes:
        name: Of the attack.
        text: Sentences about it.
        power: Why its zero says nothing; "" where it says something.
        rates: Of each arm, in words.
        pictures: New pictures of the artefact.
        curve: The plot of success against budget; None for an attack of one stage, which has one point.
    """

    name: str
    text: str
    power: str
    rates: Sequence[tuple[str, str]]
    pictures: PagePlot
    curve: PagePlot | None


@dataclass(frozen=True)
class LeakPart:
    """What the page says of the file that was attacked.

    Attributes:
        text: What the file gives away by itself.
        revival: How often the concept shows after weights of 0 were filled, in words; "" where that was not tried.
        sites: Those that change most: name, share of zeros, ‖ΔW‖, and rank, in words.
        more: Further sites.
        plot: Of all sites.
    """

    text: str
    revival: str
    sites: Sequence[tuple[str, str, str, str]]
    more: int
    plot: PagePlot


def write_attack_page(
    battery: Battery,
    path: Path,
    *,
    concept: str,
    facts: Mapping[str, str],
    command: str = "",
    leak: Leak | None = None,
) -> Path:
    """Write the page of a battery as one HTML file, whole or not at all, and return its path.

    Args:
        battery: Attacks and their controls.
        path: Of the file.
        concept: What was to come back.
        facts: Of the model, the judge and the drawing, by name.
        command: The command line, to print on the page.
        leak: What the file of the edit gives away by itself; None for what is no edit.

    Raises:
        OSError: As the file system does.
    """
    names = [name for name in battery.table["attack"].unique(maintain_order=True) if name != NO_ATTACK]
    html = fill(
        "attack_page.html",
        concept=concept,
        parts=[_part(battery, name) for name in names],
        plain=_rates(battery, NO_ATTACK),
        overview=plot_of(battery.plot()),
        facts=facts,
        command=command,
        leak=_leak(leak, battery) if leak else None,
    )
    return write_text_whole(path, html)


def _part(battery: Battery, name: str) -> AttackPart:
    arms = {arm: outcome for (attack, arm), outcome in battery.outcomes.items() if attack == name}
    outcome: Attacked = arms.get(EDITED) or next(iter(arms.values()))
    power = "" if battery.has_power(name) is not False else NO_POWER
    pictures = sheet_of(sheet(outcome.pictures), outcome.pictures[0].width)
    curve = plot_of(outcome.plot()) if len(outcome.table) > 1 else None
    return AttackPart(name, outcome.summary(), power, _rates(battery, name), pictures, curve)


def _leak(leak: Leak, battery: Battery) -> LeakPart:
    order = leak.table.with_columns(size=leak.sizes).sort("size", descending=True).rows(named=True)
    sites = [
        (row["site"], f"{100 * row['zero_share']:.2f}\u202f%", f"{row['norm']:.3g}", _of(row["rank"], row["full_rank"]))
        for row in order[:SITES]
    ]
    rate = battery.rate("revival", EDITED)
    revival = f"{with_span(rate)} %" if rate else ""
    return LeakPart(leak.summary(), revival, sites, len(order) - len(sites), plot_of(leak.plot()))


def _of(rank: int | None, full: int | None) -> str:
    return "" if rank is None else f"{rank} of {full}"


NO_POWER = "No power here: it does not open a change that only hides the concept, so a zero of it says nothing."


def _rates(battery: Battery, name: str) -> list[tuple[str, str]]:
    arms = battery.table["arm"].unique(maintain_order=True).to_list()
    return [(arm, f"{with_span(rate)} %") for arm in arms if (rate := battery.rate(name, arm)) is not None]
