"""The fragments of the page: each region as HTML, from the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from turpentine.core.errors import TurpentineError
from turpentine.core.formatting import percent
from turpentine.core.hashing import digest
from turpentine.report.pictures import SMALL
from turpentine.report.template import fill
from turpentine.studio.attacking import attack_names
from turpentine.studio.erasing import METHODS, TRAINED
from turpentine.studio.looks import PARTS
from turpentine.studio.recipes import Recipe, recipe
from turpentine.studio.session import GUIDANCES, PANELS, Session
from turpentine.studio.side_by_side import SidePicture
from turpentine.studio.work import sentence
from turpentine.tasks.groups import heading

REGIONS = ("note", "stack", "columns", *PANELS, "verdict")
TITLES: Mapping[str, str] = {
    "words": "Mapping the words",
    "layers": "Severing each layer",
    "dynamics": "Watching the picture",
    "locate": "Locating",
    "erase": "Erasing",
    "attack": "Attacking",
}
_CURVE = (300, 56)
"""Width and height of a curve of the dynamics."""


def page(session: Session) -> str:
    """Return the whole page, without its pictures, which its script asks for."""
    facts = session.model.describe()
    size, millions = str(facts["picture"]).replace("x", "×"), int(facts["parameters"]) / 1e6
    lead = (
        f"{facts['family']}, {size} px, {millions:.1f} million weights, on {facts['device']}. See one prompt and one "
        "seed change while edits go on, look inside, erase where you located, and attack what you erased."
    )
    return fill(
        "studio/page.html",
        script="studio/studio.js",
        model=session.model.name,
        lead=lead,
        notice=session.notice,
        state=session.state,
        guidances=GUIDANCES,
        folder=str(session.folder),
        regions={name: "" if name == "columns" else region(session, name) for name in REGIONS},
    )


def regions(session: Session, digests: Mapping[str, str], columns: Sequence[SidePicture] = ()) -> dict[str, Any]:
    """Return the fragments that a window does not have yet, by name, with their digests.

    Args:
        session: Of the studio.
        digests: Of what the window has.
        columns: Newly drawn pictures; without them the window's stay.
    """
    fragments = {}
    for name in REGIONS:
        if name != "columns" or columns:
            html = region(session, name, columns)
            if digests.get(name) != (mark := digest(html)[:12]):
                fragments[name] = {"html": html, "digest": mark}
    return fragments


def region(session: Session, name: str, columns: Sequence[SidePicture] = ()) -> str:
    """Return one fragment; what cannot be made is a sentence in it."""
    values: dict[str, Any] = {
        "region": name,
        "state": session.state,
        "small": max(session.model.size) <= SMALL,
        "recipe": _recipe(session, name),
        "failure": session.failures.get(name, ""),
        "rows": 0,
        "result": None,
        **_FIXED,
    }
    if name in PANELS:
        values |= {"rows": _rows(session, name), "result": session.result(name)}
    extra = _EXTRA.get(name)
    if extra is not None:
        values |= extra(session, values["result"])
    return fill("studio/parts.html", **{**values, "columns": columns}).strip()


def job_facts(session: Session) -> dict[str, Any] | None:
    """Return what the page shows of the work under way, None for none."""
    job = session.desk.job
    return {**job.facts(), "title": TITLES[job.name]} if job is not None else None


_FIXED: Mapping[str, Any] = {
    "text": "",
    "parts": PARTS,
    "methods": METHODS,
    "trained": TRAINED,
    "attacks": (),
    "most": 1.0,
    "most_text": "",
    "curves": (),
    "lines": (),
    "groups": (),
}


def _note(session: Session, _: Any) -> dict[str, Any]:
    return {"text": session.note(session.state.prompt)}


def _locate(session: Session, _: Any) -> dict[str, Any]:
    return {"text": session.note(session.state.concept)}


def _layers(_: Session, result: Mapping[str, Any] | None) -> dict[str, Any]:
    if result is None:
        return {}
    most = max(cell["lost"] for cell in result["cells"].values())
    return {"most": max(most, 0.05), "most_text": percent(most)}


def _dynamics(_: Session, result: Mapping[str, Any] | None) -> dict[str, Any]:
    if result is None:
        return {}
    named = [("change of the latents at each step", "change"), ("probability on the prompt’s words", "words")]
    curves = [(title, result[name]) for title, name in named if result[name]]
    return {"curves": curves, "lines": [_line(values) for _, values in curves]}


def _line(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return a curve's points, from 0 at the bottom to its largest value at the top."""
    width, height = _CURVE
    most = max(values) or 1.0
    apart = width / max(1, len(values) - 1)
    return [(apart * place, 2 + height * (1 - value / most)) for place, value in enumerate(values)]


def _erase(session: Session, result: Mapping[str, Any] | None) -> dict[str, Any]:
    if result is None:
        return {}
    rows = [{**row, "tone": _tone(row)} for row in result["rows"]]
    kind = "object"
    return {"groups": [(heading(group, kind), list(some)) for group, some in groupby(rows, lambda row: row["group"])]}


def _tone(row: Mapping[str, Any]) -> str:
    """Return the colour of what a picture shows after: gone is good of what was erased, and bad of what was not."""
    if row["hit_before"] == row["hit_after"]:
        return "even"
    was_to_go = row["group"] in ("erased", "scene")
    return "gone" if was_to_go != bool(row["hit_after"]) else "worse"


def _attack(_: Session, result: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"attacks": attack_names()}


def _verdict(session: Session, _: Any) -> dict[str, Any]:
    try:
        return {"result": session.verdict()}
    except TurpentineError as error:
        return {"failure": sentence(error)}


_EXTRA: Mapping[str, Callable[[Session, Any], dict[str, Any]]] = {
    "note": _note,
    "layers": _layers,
    "dynamics": _dynamics,
    "locate": _locate,
    "erase": _erase,
    "attack": _attack,
    "verdict": _verdict,
}


def _rows(session: Session, name: str) -> int:
    try:
        return session.rows(name)
    except TurpentineError:  # such as of no concept; the work itself will say so
        return 0


def _recipe(session: Session, name: str) -> Recipe:
    if name in ("note", "stack"):
        return Recipe("", "")
    try:
        return recipe(session, "draw" if name == "columns" else name)
    except TurpentineError as error:
        return Recipe("", f"# {sentence(error)}")
