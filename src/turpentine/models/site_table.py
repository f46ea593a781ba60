"""The top sites of a table of scores, such as an attribution or a causal trace, so that locating leads to editing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from turpentine.core.errors import BadArgument, NotFinite, UnknownName
from turpentine.core.safe_text import one_line
from turpentine.models.sites import Site, Sites

SITE_COLUMNS = ("site", "module", "layer", "weight", "parameter", "name")
"""Columns that may name a site; the first of them that a table has counts."""

SCORE_COLUMNS = ("score", "alpha", "attribution", "effect")
"""Columns that may hold its score; the first of them that a table has counts."""


def top_sites(sites: Sites, path: str | os.PathLike[str], top: int) -> Sites:
    """Return the `top` sites with the largest scores in a table, in order of execution.

    The table has a row for each site: its dotted name, that of a weight or bias in it, or a label such as DOWN1 (then
    all modules of that label), in one of SITE_COLUMNS, and a number in one of SCORE_COLUMNS. Rows of one site, such as
    its single weights or the α of its heads, are summed. The exception is the `score` of rows with a `head`, such as
    silhouettes, which do not add up: there the largest counts.

    Args:
        sites: The model's.
        path: A CSV or parquet file.
        top: 1 or more; a shorter table is taken whole.

    Raises:
        BadArgument: The file is no such table, or `top` is under 1.
        UnknownName: A site that the model does not have.
        NotFinite: A score is NaN or infinite.
    """
    _check(top)
    return best_sites(sites, _read(Path(path)), top, one_line(str(path)))


def best_sites(sites: Sites, table: pl.DataFrame, top: int, called: str = "The table") -> Sites:
    """Return the sites with the largest scores, as `top_sites`, of a table in memory.

    Args:
        sites: The model's.
        table: As `top_sites` reads it from a file.
        top: 1 or more.
        called: The table's name in messages.

    Raises:
        BadArgument: It is no table of scored sites, or `top` is under 1.
        UnknownName: A site that the model does not have.
        NotFinite: A score is NaN or infinite.
    """
    _check(top)
    by_name = _by_name(sites)
    scores: dict[str, list[float]] = {}
    for name, score in _rows(table, called):
        scores.setdefault(_site_of(name, by_name), []).append(score)
    is_of_heads = "head" in table.columns and _column(table, SCORE_COLUMNS, called) == "score"
    totals = {site: max(each) if is_of_heads else sum(each) for site, each in scores.items()}
    best = sorted(totals, key=lambda site: totals[site], reverse=True)[:top]
    selected = {site for name in best for site in by_name[name]}
    return replace(sites, chosen=tuple(site for site in sites if site in selected))


def short_names(table: pl.DataFrame) -> dict[str, str]:
    """Return each site's short name within its kind: its label, or its number, from 1, where it has no label."""
    counts: Counter[str] = Counter()
    names = {}
    for site, kind, label in table.select("site", "kind", "label").iter_rows():
        counts[kind] += 1
        names[site] = label or str(counts[kind])
    return names


def _check(top: int) -> None:
    if top < 1:
        raise BadArgument(f"The top {top} sites are none: give 1 or more.")


def _rows(table: pl.DataFrame, called: str) -> list[tuple[str, float]]:
    """Return the rows that have a name and a score."""
    name, score = (_column(table, columns, called) for columns in (SITE_COLUMNS, SCORE_COLUMNS))
    try:
        rows = table.select(pl.col(name).cast(pl.String), pl.col(score).cast(pl.Float64)).drop_nulls()
    except pl.exceptions.PolarsError as error:
        raise BadArgument(f"{called} holds text in its column {score}: give numbers there.") from error
    odd = rows.filter(~pl.col(score).is_finite())
    if len(odd):
        raise NotFinite(f"{called} scores {one_line(odd[name][0])} with {odd[score][0]}: measure it anew.")
    if rows.is_empty():
        raise BadArgument(f"{called} holds no row with a site and a score.")
    return rows.rows()


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise BadArgument(f"There is no table at {one_line(str(path))}: check the path.")
    try:
        return pl.read_parquet(path) if _is_parquet(path) else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise BadArgument(f"{one_line(str(path))} cannot be read as a table: give a CSV or parquet file.") from error


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _column(table: pl.DataFrame, names: tuple[str, ...], called: str) -> str:
    for name in names:
        if name in table.columns:
            return name
    raise BadArgument(
        f"{called} is no table of scored sites, for it has no column {' or '.join(names)} but "
        f"{one_line(', '.join(table.columns))}: take one of explain trace, heads or coar, or of an attribution."
    )


def _by_name(sites: Sites) -> Mapping[str, list[Site]]:
    """Return the sites by name, modules by label too, and by a layer's all that are one in it."""
    by_name = {site.name: [site] for site in sites}
    for site in sites:
        if site.label and site.level == "module":
            by_name.setdefault(site.label, []).append(site)
        if site.rows is not None:
            by_name.setdefault(site.path, []).append(site)
    return by_name


def _site_of(name: str, by_name: Mapping[str, list[Site]]) -> str:
    """Return the site's own name, also for the name of a weight or bias in it."""
    layer = name.removesuffix(".weight").removesuffix(".bias")
    for each in (name, layer):
        if each in by_name:
            return each
    raise UnknownName(f"The table scores {one_line(name)}, and the model has no such site: see turpentine info.")
