"""The thesis's letters for interventions on attention to the text: `q1`, `oLOWRES`, `p2`, `rUP9`, `qALL` (0.4.2).

q severs inside a part of the schedule or some modules, o everywhere but inside; p swaps the prompt for the empty one
inside, r everywhere but inside. A part of both is written `q2:MID`. In joint attention the picture alone is kept from
the text, or reads that of ε_∅, and the text's own stream goes on.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import reduce
from operator import or_

from turpentine.core.errors import BadArgument, EmptySelection, UnknownName
from turpentine.models.branches import Intervention
from turpentine.models.hooks import read_instead, zero
from turpentine.models.joint_reading import read_empty, read_nothing
from turpentine.models.model import Model
from turpentine.models.sites import READS_TEXT, Sites
from turpentine.models.windows import Window

WINDOWS = {"1": (0.0, 0.1), "2": (0.1, 0.3), "3": (0.3, 0.6), "4": (0.6, 1.0), "1.2": (0.0, 0.26)}
"""Parts of the schedule, as fractions from pure noise to the picture."""

GROUPS = ("ALL", "LOWRES", "HIGHRES")
"""Groups of modules: all; those at a quarter of the highest resolution or below; those at the highest."""

USUAL = ("q1", "q2", "q3", "q4", "qLOWRES", "qHIGHRES", "oLOWRES", "oHIGHRES", "qALL")
"""The thesis's own first questions."""

_FORM = re.compile(r"(?P<act>[qopr])(?P<window>\d(\.\d)?)?:?(?P<layers>[A-Z]+\d*)?")


def intervention(model: Model, letters: str, *, kind: str = "cross-attention") -> Intervention:
    """Return the intervention that the letters stand for.

    Args:
        model: The model.
        letters: Such as "q2:MID".
        kind: Of the modules; "cross-attention" stands for joint attention, too. p and r need one of them.

    Raises:
        UnknownName: Letters of another form, or a window that is not in WINDOWS.
        BadArgument: p or r on another kind.
        EmptySelection: A group of modules that the model has not.
    """
    form = _FORM.fullmatch(letters)
    if form is None or not (form["window"] or form["layers"]):
        raise UnknownName(
            f"{letters!r} is no intervention: write q, o, p or r, then a window ({', '.join(WINDOWS)}), modules "
            f"({', '.join(GROUPS)}, or a label such as MID), or both, such as q2:MID."
        )
    if form["window"] and form["window"] not in WINDOWS:
        raise UnknownName(f"There is no window {form['window']!r} in {letters!r}: there are {', '.join(WINDOWS)}.")
    if form["act"] in "pr" and kind not in READS_TEXT:
        raise BadArgument(f"{letters!r} swaps the prompt, which {kind} does not read: sever it with q or o.")
    modules = modules_of(model, kind)
    chosen = group(modules, form["layers"] or "ALL")
    window = WINDOWS[form["window"]] if form["window"] else (0.0, 1.0)
    touched = [chosen.during(*window)] if form["act"] in "qp" else _outside(modules, chosen, window)
    return _acting(model, modules, swaps(letters), touched)


def is_idle(letters: str, steps: int) -> bool:
    """Return whether the letters touch nothing, since none of so many steps is in their window."""
    form = _FORM.fullmatch(letters)
    if form is None or form["act"] not in "qp" or form["window"] not in WINDOWS:
        return False
    return not Window(*WINDOWS[form["window"]]).steps(steps)


def usual(model: Model, *, kind: str = "cross-attention") -> tuple[str, ...]:
    """Return those of USUAL whose modules the model has: SDXL has no attention at its lowest resolutions.

    A transformer, all of whose blocks are of one resolution, has no groups by it.

    Raises:
        EmptySelection: A kind that the model has not.
    """
    is_flat = len({site.resolution for site in modules_of(model, kind)}) == 1
    present = []
    for letters in USUAL:
        if is_flat and letters.endswith("RES"):
            continue  # all, or none
        with suppress(EmptySelection):
            intervention(model, letters, kind=kind)
            present.append(letters)
    return tuple(present)


def modules_of(model: Model, kind: str = "cross-attention") -> Sites:
    """Return the modules of a kind, or the joint attention of a model whose picture reads the text by that.

    Raises:
        EmptySelection: A kind that the model has not.
    """
    return model.sites.only(kind=READS_TEXT if kind in READS_TEXT else kind, level="module")


def is_joint(modules: Sites) -> bool:
    """Return whether modules are joint attention, where picture and text attend to both."""
    return next(iter(modules)).kind == "joint-attention"


def swaps(letters: str) -> bool:
    """Return whether letters swap the prompt, by p or r."""
    return letters[:1] in {"p", "r"}


def modules_called(modules: Sites, text: str) -> Sites:
    """Return the modules that a text names: groups or labels, with commas between.

    Raises:
        EmptySelection: One that names none.
    """
    parts = [group(modules, part.strip()) for part in text.split(",") if part.strip()] or [group(modules, text)]
    return reduce(or_, parts)


def group(modules: Sites, name: str) -> Sites:
    """Return modules by the name of a group, or by their label.

    Raises:
        EmptySelection: There are none.
    """
    if name == "ALL":
        return modules
    if name not in GROUPS:
        return modules.only(label=name)
    highest = max(site.resolution for site in modules)
    allowed = {highest} if name == "HIGHRES" else set(range(highest // 4 + 1))
    resolutions = {site.resolution for site in modules} & allowed
    if not resolutions:
        raise EmptySelection(f"{name} is empty: no such module works at a quarter of {highest} latent pixels or below.")
    return modules.only(resolution=sorted(resolutions))


def _outside(modules: Sites, chosen: Sites, window: tuple[float, float]) -> list[Sites]:
    """Return everything but `chosen` in the window, in two or three parts that share nothing."""
    whole = Window(*window)
    times = [part for part in ((0.0, whole.start), (whole.stop, 1.0)) if part[0] < part[1]]
    outside = [modules.during(*part) for part in times]
    rest = modules - chosen
    return [*outside, rest.during(*window)] if rest else outside


def _acting(model: Model, modules: Sites, is_swap: bool, touched: list[Sites]) -> Intervention:
    if is_joint(modules):
        return Intervention(after=dict.fromkeys(touched, (read_empty if is_swap else read_nothing)(model)))
    if not is_swap:
        return Intervention(after=dict.fromkeys(touched, zero))
    return Intervention(before=dict.fromkeys(touched, read_instead(model, model.encode([""]))))
