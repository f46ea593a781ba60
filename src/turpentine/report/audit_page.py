"""The page of an audit: the verdict and why, a row for each arm, pictures side by side, R, and what was not tried."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from PIL import Image

from turpentine.attack.controls import EDITED
from turpentine.audit.audited import NOT_TRIED, Audited
from turpentine.core.atomic_files import write_whole
from turpentine.core.formatting import with_span
from turpentine.report.pictures import data_uri
from turpentine.report.template import fill
from turpentine.stats.intervals import Rate

DPI = 100
WIDEST = 2000
"""Pixels of the largest picture on the page."""


def write_audit_page(audited: Audited, path: Path, *, command: str = "") -> Path:
    """Write the page of an audit as one HTML file, whole or not at all, and return its path.

    Args:
        audited: What came out.
        path: Of the file.
        command: The command line, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    arms = audited.table["arm"].unique(maintain_order=True).to_list()
    html = fill(
        "audit_page.html",
        audited=audited,
        concept=audited.protocol["concept"]["text"],
        arms=arms,
        rows=[(name, [_rate(audited, name, arm) for arm in arms]) for name in _names(audited)],
        overview=_uri(audited.plot()),
        sheets=[(name.removesuffix(".png"), data_uri(each, WIDEST)) for name, each in audited.images_to_save().items()],
        curves=_uri(_curves(audited)),
        deep=_deep(audited),
        facts=_facts(audited),
        not_tried=NOT_TRIED,
        command=command,
    )
    with write_whole(path) as aside:
        aside.write_text(html, encoding="utf-8")
    return path


def _names(audited: Audited) -> list[str]:
    names: list[str] = audited.table["attack"].unique(maintain_order=True).to_list()
    return names


def _rate(audited: Audited, attack: str, arm: str) -> str:
    """Return a rate in words, "" where the arm was not drawn."""
    rows = audited.table.filter((pl.col("attack") == attack) & (pl.col("arm") == arm)).rows(named=True)
    if not rows:
        return ""
    row = rows[0]
    return f"{with_span(Rate(row['hits'], row['n'], (row['low'], row['high'])))} % of {row['n']}"


def _curves(audited: Audited) -> Figure:
    """Return a plot of each attack's success against what it had spent, on the edited model and the oracles."""
    attacks = [each.arms.attack for each in audited.ruling.evidence[1:]]
    figure = Figure(figsize=(7, 2.4 * len(attacks)), layout="constrained")
    for axes, attack in zip(figure.subplots(len(attacks), squeeze=False)[:, 0], attacks, strict=True):
        for name, each in audited.batteries.items():
            table = each.outcomes[attack, EDITED].table
            axes.plot(table["forward"].to_list(), table["success"].to_list(), marker="o", label=name)
        axes.set(title=attack, xlabel="rows of the denoiser", ylabel="pictures with the concept", ylim=(-0.03, 1.03))
        axes.legend(fontsize="small")
    return figure


def _deep(audited: Audited) -> list[tuple[str, str]]:
    """Return FADE in both directions and the depth score, in words; nothing without an oracle."""
    if not audited.deep:
        return []
    fades: list[tuple[str, str]] = [
        (f"FADE, {name}", f"{each['value']:.4f} ({each['low']:.4f} to {each['high']:.4f})")
        for name, each in audited.deep.items()
        if name != "modules"
    ]
    return [*fades, ("Depth score", "none" if audited.depth is None else f"{audited.depth:.2f}")]


def _facts(audited: Audited) -> Mapping[str, str]:
    protocol: Mapping[str, Any] = audited.protocol
    numbers = audited.numbers()
    facts = {
        "model": audited.title,
        "judge": str(protocol["judge"][0]),
        "attacks": "; ".join(f"{name} ({_listed(settings)})" for name, settings in protocol["attacks"]),
        "budget": _listed({name: each for name, each in protocol["budget"].items() if each is not None}) or "no limit",
        "drawing": _listed(protocol["trial"]),
        "rules": _listed(protocol["rules"]),
        "never seen": str(protocol["never"] or "none"),
        "held-out prompts": f"{len(protocol['prompts'])}, such as {protocol['prompts'][0]!r}",
        "protocol": numbers["protocol_sha256"][:16],
    }
    return facts | ({"the file": str(numbers["leak"])} if numbers["leak"] else {})


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {each}" for name, each in values.items())


def _uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    with Image.open(buffer) as image:
        return data_uri(image.convert("RGB"), WIDEST)
