"""The page of an erasure: before and after in the same rows, the table, and how to do it again."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import jinja2

import turpentine
from turpentine.bench import ErasureResult
from turpentine.files import one_line, write_whole
from turpentine.report import gallery, numbers, recipe, story


def write_report(result: ErasureResult, path: str | os.PathLike[str] | None = None, *, command: str = "") -> Path:
    """Write the page of an erasure as one HTML file, whole or not at all, and give its path.

    path: `report.html` in the result's folder by default. command: the command line that made the result, to be shown.
    Raises OSError as the file system does.
    """
    target = Path(path) if path is not None else result.files["report"]
    with write_whole(target) as aside:
        aside.write_text(render_erasure(result, command=command), encoding="utf-8")
    return target


def render_erasure(result: ErasureResult, *, command: str = "") -> str:
    """The page of an erasure as HTML."""
    return _template("erasure.html").render(
        title=story.title(result),
        lead=story.lead(result),
        tiles=story.tiles(result),
        tables=story.tables(result),
        broken=story.broken(result),
        sections=gallery.sections(result),
        facts=recipe.facts(result),
        settings=recipe.settings(result),
        command=command,
        code=recipe.code(result),
        use=recipe.use(result),
        sources=recipe.sources(result),
        has_truth=any(change.before for change in result.comparison.labels),
        version=turpentine.__version__,
    )


@cache
def _template(name: str) -> jinja2.Template:
    """Everything that is put into a page is escaped, and a name that does not exist is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("turpentine.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": numbers.percent,
        "span": numbers.span,
        "points": numbers.points,
        "points_span": numbers.points_span,
        "one_line": one_line,
    }
    return environment.get_template(name)
