"""Two measurements of the same cases side by side: rates with intervals, and their differences by pairs of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from turpentine.bench.measure import Measurement
from turpentine.core.errors import BadArgument
from turpentine.stats.intervals import Difference, Rate, paired_bootstrap
from turpentine.tasks.groups import GROUPS, SUMMARIES


@dataclass(frozen=True)
class Change:
    """How the pictures of some cases changed.

    group, label: of the cases; the label is "" for a whole group or more. pictures: how many there are.
    before, after: rates of hits, None where no case has a truth. difference: after − before, paired by picture.
    broken_before, broken_after: rates of blank pictures and noise.
    moved: mean absolute difference of the pixels of a picture before and after, 0 to 1, over all pictures.
    """

    group: str
    label: str
    pictures: int
    before: Rate | None
    after: Rate | None
    difference: Difference | None
    broken_before: Rate
    broken_after: Rate
    moved: float

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON has them."""
        return {
            "pictures": self.pictures,
            "before": _rate_json(self.before),
            "after": _rate_json(self.after),
            "difference": None if self.difference is None else self.difference._asdict(),
            "broken_before": _rate_json(self.broken_before),
            "broken_after": _rate_json(self.broken_after),
            "moved": self.moved,
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Before and after, at three levels.

    labels: a change for each label of each group, in order. groups: one for each group. summary: a few numbers by name,
    see `groups.SUMMARIES`, of those that have cases: "erased", "scenes", "others" are the headline. overall: of all
    pictures, without rates of hits.
    """

    labels: tuple[Change, ...]
    groups: tuple[Change, ...]
    summary: Mapping[str, Change]
    overall: Change

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The changes of the labels as a table; rates and intervals are 0 to 1."""
        return pl.DataFrame([_flat(change) for change in self.labels], infer_schema_length=None)

    def to_json(self) -> dict[str, Any]:
        """The summary, and the whole, as JSON has them."""
        return {name: change.to_json() for name, change in {**self.summary, "overall": self.overall}.items()}


def compare(before: Measurement, after: Measurement) -> Comparison:
    """Put two measurements into one table. Raises BadArgument if their protocols differ, and says in what."""
    _check_comparable(before, after)
    pairs = _paired(before, after)
    labels = tuple(_change(rows, group, label) for (group, label), rows in _parts(pairs, ["group", "label"]))
    groups = tuple(_change(rows, group, "") for (group,), rows in _parts(pairs, ["group"]))
    summaries = {name: pairs.filter(pl.col("group").is_in(names)) for name, names in SUMMARIES.items()}
    summary = {name: _change(rows, name, "") for name, rows in summaries.items() if len(rows)}
    # A picture that several cases share counts once among all, where hits of different things have no common rate.
    each_once = pairs.unique(["prompt", "seed"], maintain_order=True).with_columns(hit=pl.lit(None, dtype=pl.Boolean))
    overall = _change(each_once, "all", "")
    return Comparison(labels, groups, summary, overall)


def _check_comparable(before: Measurement, after: Measurement) -> None:
    keys = sorted({*before.protocol, *after.protocol})
    differing = [key for key in keys if before.protocol.get(key) != after.protocol.get(key)]
    if differing:
        raise BadArgument(f"Two measurements of different protocols cannot be compared: {', '.join(differing)} differ.")


def _paired(before: Measurement, after: Measurement) -> pl.DataFrame:
    """A row for each case and seed: hit and broken before and after, and how far the picture moved."""
    # The same cases and seeds give the same rows in the same order.
    facts = [pl.col("hit"), pl.col("broken").is_not_null()]
    pairs = before.rows.select("group", "label", "prompt", "seed", *facts)
    pairs = pairs.hstack(after.rows.select(fact.name.suffix("_after") for fact in facts))
    moved = {pair: _distance(image, after.images[pair]) for pair, image in before.images.items()}
    each = [moved[pair] for pair in pairs.select("prompt", "seed").iter_rows()]
    return pairs.with_columns(pl.Series("moved", each, dtype=pl.Float64))


def _distance(a: Image.Image, b: Image.Image) -> float:
    first, second = (np.asarray(image.convert("RGB"), dtype=np.float32) / 255 for image in (a, b))
    return float(np.abs(first - second).mean())


def _parts(pairs: pl.DataFrame, by: Sequence[str]) -> list[tuple[Any, pl.DataFrame]]:
    """The rows of each group, or each group and label: groups in their own order, labels as they come."""
    order = list(GROUPS)
    parts = pairs.partition_by(by, as_dict=True, maintain_order=True)
    return sorted(parts.items(), key=lambda part: order.index(part[0][0]) if part[0][0] in order else len(order))


def _change(pairs: pl.DataFrame, group: str, label: str) -> Change:
    known = pairs.filter(pl.col("hit").is_not_null())
    before, after = known["hit"].to_list(), known["hit_after"].to_list()
    return Change(
        group,
        label,
        len(pairs),
        Rate.of(before),
        Rate.of(after),
        paired_bootstrap(before, after) if before else None,
        _rate(pairs["broken"]),
        _rate(pairs["broken_after"]),
        float(np.mean(pairs["moved"].to_numpy())),
    )


def _rate(outcomes: pl.Series) -> Rate:
    return Rate(int(outcomes.sum()), len(outcomes))


def _rate_json(rate: Rate | None) -> dict[str, Any] | None:
    if rate is None:
        return None
    return {"hits": rate.hits, "n": rate.n, "rate": rate.value, "low": rate.low, "high": rate.high}


def _flat(change: Change) -> dict[str, Any]:
    row: dict[str, Any] = {"group": change.group, "label": change.label, "pictures": change.pictures}
    for name in ("before", "after", "broken_before", "broken_after"):
        rate = getattr(change, name)
        for key in ("hits", "n", "value", "low", "high"):
            column = name if key == "value" else f"{name}_{key}"
            row[column] = None if rate is None else getattr(rate, key)
    for key in ("value", "low", "high"):
        column = "difference" if key == "value" else f"difference_{key}"
        row[column] = None if change.difference is None else getattr(change.difference, key)
    return {**row, "moved": change.moved}
