"""The page of a bench of attacks: attack by method and control, what goes beyond controls, curves, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from PIL import Image

from turpentine.attack.attacked import SHEET_COLUMNS
from turpentine.attack.controls import EDITED, NEVER, NO_ATTACK
from turpentine.bench.attack_bench import AttackTable, rate_of
from turpentine.bench.attack_file import AttackSpec
from turpentine.bench.attack_jobs import artefact_path
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.formatting import counted, percent, points_with_span, span, with_span
from turpentine.report import facts
from turpentine.report.gallery import Shot
from turpentine.report.pictures import data_uri, is_small, plot_of
from turpentine.report.template import fill
from turpentine.runs.method_settings import facts_of
from turpentine.stats.intervals import Rate

PAGE = "attacks.html"
CONCEPTS, SHOTS = 6, 4
"""Concepts whose pictures are on the page, and pictures of each; the rest is in the bench's folder."""
WIDTH, EDGE = 88, 4
"""Of the strip in a cell, and what is free at each end, in the drawing's own units."""
Key = tuple[str, str, str]
"""Model, arm and method."""


@dataclass(frozen=True)
class RateCell:
    """A rate in the table.

    Attributes:
        text: In percent.
        span: Its interval.
        value: 0 to 1.
        x: Place of the dot.
        ends: Places of the interval's ends.
    """

    text: str
    span: str
    value: float
    x: float
    ends: tuple[float, float]


@dataclass(frozen=True)
class AttackLine:
    """An attack's line of the table.

    Attributes:
        name: Of the attack; with the concept where the line is of one.
        power: Why its zero says nothing; "" where it says something.
        cells: One for each column, None where nothing was tried.
    """

    name: str
    power: str
    cells: tuple[RateCell | None, ...]


@dataclass(frozen=True)
class BestWay:
    """The attack that brings most back of what a method erased.

    Attributes:
        method: Its name.
        attack: Its name.
        success: In words, as the others.
        plain: Of plain prompts.
        more: The difference of these two.
        never: Of the attack on what was never seen.
        beyond: What is more than that.
    """

    method: str
    attack: str
    success: str
    plain: str
    more: str
    never: str
    beyond: str


@dataclass(frozen=True)
class Sheet:
    """Pictures of an attack.

    Attributes:
        attack: Its name.
        concepts: A heading for each column.
        rows: Name of a method or control, and for each column its pictures, or why there are none.
    """

    attack: str
    concepts: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Sequence[Shot] | str, ...]], ...]


def write_attack_bench_page(table: AttackTable, spec: AttackSpec, folder: Path, *, command: str = "") -> Path:
    """Write the page of a bench of attacks as one HTML file, whole or not at all, and return its path.

    Args:
        table: What came out.
        spec: Of the bench.
        folder: Of the bench, with the pictures.
        command: The command line, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    models = table.rows["model"].unique(maintain_order=True).to_list()
    html = fill(
        "attack_bench_page.html",
        script="sort.js",
        title=table.title,
        about=" ".join(spec.about.split()),
        lead=_lead(table),
        columns=[_heading(key, models) for key in table.columns],
        methods=sum(arm == EDITED for _, arm, _ in table.columns),
        width=WIDTH,
        lines=_lines(table),
        each=_lines_of_concepts(table),
        best=[way for key in table.columns if key[1] == EDITED and (way := _best(table, key, models))],
        curves=plot_of(figure) if (figure := curves_figure(table, models)) else None,
        sheets=[each for attack in table.attacks for each in _sheets(table, attack, folder, models)],
        left_out={**table.skipped, **table.errors},
        facts=_facts(table, spec),
        settings=_settings(spec),
        command=command,
    )
    path = folder / PAGE
    return write_text_whole(path, html)


def _lead(table: AttackTable) -> str:
    rows = table.rows
    methods, attacks = rows.filter(arm=EDITED)["method"].n_unique(), len(table.attacks) - 1
    concepts = rows.filter(arm=EDITED)["concept"].n_unique()
    pictures = rows["n"].sum()
    size = f"{counted(methods, 'method')}, {counted(concepts, 'concept')} and {counted(attacks, 'attack')}"
    return f"{size}, beside the same on controls: {pictures:,} new pictures, which no search has looked at."


def _heading(key: Key, models: Sequence[str]) -> str:
    model, arm, method = key
    return f"{method or arm}, {model}" if len(models) > 1 else method or arm


def _cell(row: Mapping[str, Any]) -> RateCell:
    rate, reach = rate_of(row), WIDTH - 2 * EDGE
    x, low, high = (EDGE + reach * value for value in (rate.value, rate.low, rate.high))
    return RateCell(percent(rate.value), span(rate), rate.value, x, (low, high))


def _line(table: AttackTable, rows: pl.DataFrame, attack: str, name: str) -> AttackLine:
    cells: list[RateCell | None] = []
    for model, arm, method in table.columns:
        one = rows.filter(model=model, attack=attack, arm=arm, method=method).rows(named=True)
        cells.append(_cell(one[0]) if one else None)
    powers = [table.has_power(model, attack) for model in table.rows["model"].unique()]
    return AttackLine(name, "no power here" if powers and all(each is False for each in powers) else "", tuple(cells))


def _lines(table: AttackTable) -> list[AttackLine]:
    return [_line(table, table.pooled, attack, attack) for attack in table.attacks]


def _lines_of_concepts(table: AttackTable) -> list[AttackLine]:
    """Return a line for each attack and concept; nothing where there is one concept."""
    concepts = table.rows["concept"].unique(maintain_order=True).to_list()
    if table.pooled["concepts"].to_numpy().max() == 1:
        return []
    whole = table.over_seeds
    pairs = [(attack, concept) for attack in table.attacks for concept in concepts]
    lines = [_line(table, whole.filter(concept=concept), attack, f"{attack}, {concept}") for attack, concept in pairs]
    return [line for line in lines if any(line.cells)]


def _best(table: AttackTable, key: Key, models: Sequence[str]) -> BestWay | None:
    model, arm, method = key
    strongest = table.strongest(model, method)
    if strongest is None:
        return None
    attack, success = strongest
    more, beyond = (table.beyond(model, method, attack, other) for other in (EDITED, NEVER))
    return BestWay(
        _heading(key, models),
        attack,
        _in_percent(success),
        _in_percent(table.rate(model, NO_ATTACK, arm, method)),
        points_with_span(more) if more else "–",
        _in_percent(table.rate(model, attack, NEVER)),
        points_with_span(beyond) if beyond else "–",
    )


def _in_percent(rate: Rate | None) -> str:
    return f"{with_span(rate)} %" if rate else "–"


def curves_figure(table: AttackTable, models: Sequence[str]) -> Figure | None:
    """Return a plot of success against what was spent, an axis an attack; None where no search has stages.

    Args:
        table: What came out.
        models: Names of its models.
    """
    staged = table.curves.filter(pl.col("stage") > 0)["attack"].unique(maintain_order=True).to_list()
    if not staged:
        return None
    figure = Figure(figsize=(7.5, 3.2 * len(staged)), layout="constrained")
    for axes, attack in zip(figure.subplots(len(staged), squeeze=False)[:, 0], staged, strict=True):
        unit = "forward"
        for model, arm, method in table.columns:
            curve = table.curve(model, attack, arm, method)
            if len(curve):
                unit = curve["unit"][0]
                style = {"marker": "o"} if arm == EDITED else {"linestyle": "--", "marker": ".", "alpha": 0.7}
                name = _heading((model, arm, method), models)
                axes.plot(curve["spent"].to_list(), curve["success"].to_list(), label=name, **style)
        axes.set(title=attack, xlabel=_UNITS[unit], ylabel="pictures with the concept", ylim=(-0.03, 1.03))
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


_UNITS = {"forward": "rows of the denoiser", "text": "texts encoded", "judged": "pictures judged"}


def _sheets(table: AttackTable, attack: str, folder: Path, models: Sequence[str]) -> list[Sheet]:
    """Return the pictures of an attack: of the concepts, and of what was never seen."""
    rows = table.rows.filter(attack=attack)
    sheets = []
    for part, title in (
        (rows.filter(pl.col("arm") != NEVER), attack),
        (rows.filter(arm=NEVER), f"{attack}, never seen"),
    ):
        concepts = part["concept"].unique(maintain_order=True).to_list()[:CONCEPTS]
        columns = [key for key in table.columns if len(part.filter(model=key[0], arm=key[1], method=key[2]))]
        named = [
            (_heading(key, models), tuple(_shots(part, key, each, folder) for each in concepts)) for key in columns
        ]
        if named:
            sheets.append(Sheet(title, tuple(concepts), tuple(named)))
    return sheets


def _shots(rows: pl.DataFrame, key: Key, concept: str, folder: Path) -> Sequence[Shot] | str:
    """Return the first pictures of a cell, or why there are none."""
    model, arm, method = key
    one = rows.filter(model=model, arm=arm, method=method, concept=concept).rows(named=True)
    if not one:
        return "not tried"
    path = artefact_path(folder, one[0], ".png")
    if not path.is_file():
        return "the pictures are gone"
    with Image.open(path) as whole:
        pictures = _tiles(whole.convert("RGB"), one[0]["n"])
    return [
        Shot(data_uri(picture), is_small(picture), hit, "", None)
        for picture, hit in zip(pictures, one[0]["outcomes"][:SHOTS], strict=True)
    ]


def _tiles(whole: Image.Image, n: int) -> list[Image.Image]:
    """Return the first pictures of a sheet of n."""
    across, down = min(SHEET_COLUMNS, n), -(-n // SHEET_COLUMNS)
    width, height = whole.width // across, whole.height // down
    return [whole.crop((width * place, 0, width * (place + 1), height)) for place in range(min(SHOTS, n))]


def _facts(table: AttackTable, spec: AttackSpec) -> dict[str, str]:
    trial, judge = spec.trial, spec.judge.judge
    limits = {name: each for name, each in dict(spec.budget).items() if each is not None}
    return {
        "counterpart of": spec.source or "–",
        "models": ", ".join(table.rows["model"].unique(maintain_order=True)),
        "concepts": ", ".join(concept.text for concept in spec.concepts),
        "never seen": ", ".join(spec.never) or "–",
        "judge": f"{judge.name}, revision {judge.revision}",
        "drawing": _drawing(trial.steps, trial.guidance_scale),
        "new pictures": f"{trial.pictures} for each attack and model, {trial.curve_pictures} for earlier stages",
        "budget": ", ".join(f"{name} {each}" for name, each in limits.items()) or "each attack's own settings",
        "seeds of the searches": ", ".join(map(str, spec.seeds)),
        "the original draws": f"each concept in {trial.original_rate:.0%} of its pictures at least",
    }


def _drawing(steps: int | None, scale: float | None) -> str:
    """Return the steps and the guidance of pictures, as text."""
    own = "by the model's family"
    return f"{f'steps {own}' if steps is None else f'{steps} steps'}, w {own if scale is None else f'{scale:g}'}"


def _settings(spec: AttackSpec) -> list[tuple[str, dict[str, str]]]:
    """Return the settings of each attack and method, as texts."""
    source = spec.models[0].source
    attacks = zip(spec.attack_names, spec.attacks, strict=True)
    named = [*attacks, *((method.name, method) for method in spec.methods)]
    return facts.settings([(name, facts_of(entry.method_for(source))) for name, entry in named])
