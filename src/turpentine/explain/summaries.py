"""What an instrument found, in a sentence or two: made from its numbers, whatever they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from turpentine.core.formatting import percent, points_with_span
from turpentine.explain._codes import WINDOWS
from turpentine.explain.coar import Regressed
from turpentine.explain.dynamics import CHANGE, WORDS, Unfolding
from turpentine.explain.entangle import FAR, NEAR, Entangled
from turpentine.explain.heads import HeadsFound
from turpentine.explain.intervene import Interventions
from turpentine.explain.maps import Mapped
from turpentine.explain.trace import Traced
from turpentine.models.site_table import short_names
from turpentine.stats.intervals import Estimate


def dynamics(found: Unfolding) -> str:
    """When half of the change is done, and when the words are read most."""
    change = found.table.filter(pl.col("measure") == CHANGE).sort("step")
    words = found.table.filter(pl.col("measure") == WORDS).sort("step")
    done = np.cumsum(change["value"].to_numpy())
    half = int(np.searchsorted(done, done[-1] / 2)) + 1
    first = f"Half of all change in the latents is done after {half} of {len(change)} steps."
    if words.is_empty():
        return f"{first} The prompt is empty: there is no word to look at."
    most, least = words.sort("value").row(-1, named=True), words.sort("value").row(0, named=True)
    return (
        f"{first} Cross-attention looks at the prompt's own words most in step {most['step'] + 1} "
        f"({percent(most['value'])} of its probability) and least in step {least['step'] + 1} "
        f"({percent(least['value'])})."
    )


def maps(found: Mapped, concept: str, unread: Sequence[str] = ()) -> str:
    """How well the map of the concept covers the thing in the picture, beside the best word's.

    unread: words of the prompt that have no map.
    """
    mean = found.table.group_by("word", maintain_order=True).agg(pl.col("iou").mean()).sort("iou", descending=True)
    own = mean.filter(pl.col("word") == concept)["iou"][0]
    best, count = mean.row(0, named=True), len(found.images)
    first = (
        f"Where “{concept}” is looked at overlaps what stands out from the background by {own:.2f} (IoU, the mean of "
        f"{count} {'picture' if count == 1 else 'pictures'})"
    )
    lacking = f" Without a token, and so without a map: {', '.join(unread)}." if unread else ""
    if best["word"] == concept:
        return f"{first}{', more than any other word' if len(mean) > 1 else ''}.{lacking}"
    if f"{best['iou']:.2f}" == f"{own:.2f}":
        return f"{first}, and no other word by more.{lacking}"
    return f"{first}; “{best['word']}” does so most, by {best['iou']:.2f}.{lacking}"


def windows(found: Interventions, measure: str) -> str:
    """Where and when severing changes most, and which part of the steps does so over all layers."""
    windows_, labels, kept = found.grid(measure)
    tried = [number for number, window in enumerate(windows_) if not found.is_idle(f"q{window}")]
    windows_, lost = [windows_[number] for number in tried], 1 - kept[:, tried]
    if not tried:
        return "None of the windows holds a step: take more steps."
    if lost.max() <= 0:
        return f"No layer alone, severed in one of the {len(tried)} windows, changes anything here."
    layer, time = np.unravel_index(int(lost.argmax()), lost.shape)
    row = found.table.filter(
        (pl.col("measure") == measure) & (pl.col("letters") == f"q{windows_[time]}:{labels[layer]}")
    )
    low, high = 1 - row["high"][0], 1 - row["low"][0]
    is_layout = measure == "layout"
    of = "" if is_layout else " of the pictures"
    what = "the layout changes by" if is_layout else "the judge sees something else in"
    when = _when(windows_[int(lost.mean(0).argmax())])
    return (
        f"With the cross-attention of one layer severed in one part of the steps, {what} "
        f"{percent(lost[layer, time])} ({percent(low)} to {percent(high)}){of} at most: {labels[layer]}, "
        f"{_when(windows_[time])}. On average over the layers, {when} count most ({percent(lost.mean(0).max())}), and "
        f"{_when(windows_[int(lost.mean(0).argmin())])} least ({percent(lost.mean(0).min())})."
    )


def _when(window: str) -> str:
    start, stop = WINDOWS[window]
    return f"{100 * start:.0f} to {100 * stop:.0f} % of the steps"


def trace(found: Traced, concept: str) -> str:
    """What drowning the words costs, and which component gives most of that back."""
    lost = found.clean.value - found.corrupted.value
    if lost <= 0:
        return f"Noise in the place of “{concept}” costs the picture nothing here, so that nothing can be given back."
    ranked = found.table.sort("effect", descending=True)
    best, second = ranked.row(0, named=True), ranked.row(1, named=True)
    scores = (
        f"The judge's score falls from {found.clean.value:.2f} to {found.corrupted.value:.2f} with noise in the place "
        f"of “{concept}”. "
    )
    if best["low"] <= 0:
        return f"{scores}No component alone gives back more than chance might."
    return (
        f"{scores}Given back alone, {_called(found, best)} raises it by {best['effect']:.2f} "
        f"({best['low']:.2f} to {best['high']:.2f}), {_called(found, second)} by {second['effect']:.2f}."
    )


def _called(found: Traced, row: dict[str, object]) -> str:
    """A component, by its label, or where it has none by its number among those of its kind."""
    name = short_names(found.table)[str(row["site"])]
    return f"the {row['kind']} of {name}" if row["label"] else f"{row['kind']} {name}"


def entangled(found: Entangled) -> str:
    """How much a neighbour hurts, and whether by more than chance."""
    harm = found.harm
    near, far = (found.table.filter(pl.col("company") == company)["value"][0] for company in (NEAR, FAR))
    doubt = ", which chance alone might give" if harm.low <= 0 <= harm.high else ""
    return (
        f"Objects are drawn in {percent(near)} of the pictures {NEAR} and in {percent(far)} of those {FAR}: a "
        f"difference of {points_with_span(harm)} points{doubt}."
    )


def heads(found: HeadsFound) -> str:
    """The best and the worst head, and whether the best is so by more than luck."""
    best = found.table.sort("score", descending=True).row(0, named=True)
    worst = found.table.sort("score").row(0, named=True)
    others = f", as {'is 1 other' if found.above == 2 else f'are {found.above - 1} others'}" if found.above > 1 else ""
    return (
        f"The groups {', '.join(found.names[:-1])} and {found.names[-1]} are told apart best by the {best['part']}s of "
        f"{best['label']}'s head {best['head']} (silhouette {_signed(best['score'])}, {_signed(best['low'])} to "
        f"{_signed(best['high'])}), worst by the {worst['part']}s of {worst['label']}'s head {worst['head']} "
        f"({_signed(worst['score'])}). The best is {'' if found.above else 'not '}above what the best of "
        f"{len(found.table)} sets of keys or values reaches by chance in 95 % of shuffles of the words "
        f"({_signed(found.chance)}; p {found.p:.2g}){others}."
    )


def coar(found: Regressed) -> str:
    """How well the regression and the first order agree with ablating each module alone."""
    by_fit, first_order = (_correlation(found.agreement(column)) for column in ("score", "cad"))
    return (
        f"Over {len(found.table)} modules, the regression's scores go with what ablating each alone does by {by_fit}, "
        f"CAD's first order by {first_order}."
    )


def _correlation(r: Estimate) -> str:
    return f"r {_signed(r.value)} ({_signed(r.low)} to {_signed(r.high)})"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
