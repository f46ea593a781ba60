"""The page of an erasure: before and after in the same rows, the table, and how to do it again."""

from __future__ import annotations

import os
from pathlib import Path

from turpentine.bench import ErasureResult
from turpentine.bench.lines import lines
from turpentine.core.atomic_files import write_text_whole
from turpentine.report import code, gallery, recipe, story
from turpentine.report.failures import failures
from turpentine.report.template import fill


def write_report(result: ErasureResult, path: str | os.PathLike[str] | None = None, *, command: str = "") -> Path:
    """Write the page of an erasure as one HTML file, whole or not at all, and return its path.

    Args:
        result: Of the erasure.
        path: Of the file; by default `report.html` in the result's folder.
        command: The command line of the run, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    target = Path(path) if path is not None else result.files["report"]
    write_text_whole(target, render_erasure(result, command=command))
    return target


def render_erasure(result: ErasureResult, *, command: str = "") -> str:
    """Return the page of an erasure as HTML; see `write_report`."""
    return fill(
        "run_page.html",
        title=story.title(result),
        goal=result.goal,
        done=story.DONE[result.goal],
        lead=story.lead(result),
        tiles=story.tiles(result),
        tables=story.tables(result),
        soundness=story.soundness(result),
        left_out=result.left_out,
        nothing_to_gain=story.nothing_to_gain(result),
        failures=failures(lines(result.table), result.rows),
        measures=story.measures(result),
        sections=gallery.sections(result),
        facts=recipe.facts(result),
        settings=recipe.settings(result),
        command=command,
        code=code.again(result),
        use=code.use(result),
        sources=recipe.sources(result),
        has_truth=any(effect.before for effect in result.effects.labels),
    )
