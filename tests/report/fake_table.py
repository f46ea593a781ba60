"""Tables of a bench, made up number by number."""

from __future__ import annotations

from typing import Any

import polars as pl

from turpentine.bench import wilson
from turpentine.bench.table import SCHEMA, Table

FACTS = {
    "steps": 20,
    "guidance_scale": 4.0,
    "solver": "ddim",
    "seeds": [0, 1, 2, 5],
    "size": None,
    "negative_prompt": "",
    "cases": "c" * 64,
    "judges": [{"name": "emoji", "revision": "r" * 64, "settings": {}}],
}


def rate(
    method: str, group: str, hits: int, n: int, diff: tuple[float, float, float] | None = None, **more: Any
) -> Any:
    """A row of a table: the rate of hits of a group of cases. diff: the change with its interval."""
    low, high = wilson(hits, n)
    return {
        "condition": f"{method or 'unedited'} {more.get('concept', 'church')}",
        "model": "emoji",
        "method": method,
        "concept": "church",
        "group": group,
        "label": "",
        "measure": "rate of hit",
        "better": "lower" if group in ("erased", "scene") else "higher",
        "pictures": n,
        "hits": hits,
        "judged": n,
        "value": hits / n,
        "low": low,
        "high": high,
        **dict(zip(("diff", "diff_low", "diff_high"), diff or (None, None, None), strict=True)),
        "broken": 0.0,
        "errors": 0,
        "protocol": "p" * 64,
        "seconds": 10.0 if method else None,
        "bytes": 1000 if method else None,
        **more,
    }


def score(method: str, group: str, measure: str, value: float, better: str | None, **more: Any) -> Any:
    """A row of a table: another measure than a rate, without an interval."""
    none = dict.fromkeys(("hits", "low", "high"))
    return {**rate(method, group, 0, 1), **none, "measure": measure, "value": value, "better": better, **more}


def whole(
    method: str, group: str, hits: int, n: int, diff: tuple[float, float, float] | None = None, **more: Any
) -> Any:
    """A row of a table: the rate of hits of a group of cases, of two concepts together."""
    return rate(method, group, hits, n, diff, **{"condition": "", "concept": "2 concepts", **more})


def table(*rows: dict[str, Any], title: str = "made up") -> Table:
    """A table of these rows."""
    return Table(
        pl.DataFrame(list(rows), schema=SCHEMA), title, dict.fromkeys((row["protocol"] for row in rows), FACTS)
    )
