"""`turpentine erase`: a concept erased, what is gone and what else moved, and a report of it."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from turpentine.cli.edit_command import RunChoice, run_command
from turpentine.cli.options import Flat, Json, ModelChoice
from turpentine.cli.work_options import WorkChoice


def erase(
    *concepts: str,
    method: str | None = None,
    run: Annotated[RunChoice, Flat] = RunChoice(),
    work: Annotated[WorkChoice, Flat] = WorkChoice(),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    settings: Annotated[Any, Parameter(parse=False)] = None,
    line: Annotated[str, Parameter(parse=False)] = "",
    json: Json = False,
) -> int:
    """Erase a concept from a model, and measure what is gone and what else moved.

    The run can be broken off at any time: the same command goes on from there. It ends with 1 where some pictures could
    not be drawn or judged.

    Args:
        concepts: What to erase; several are erased in one edit.
        method: How; by default what was measured to be best, see turpentine methods. Its settings are flags too.
        run: What is measured, and where it is written.
        work: Who does the work.
        source: Which model, and where it runs.
        settings: Flags of the method's settings; `with_settings` adds them.
        line: The command line, for the report.
        json: Print one JSON document.
    """
    return run_command("erase", concepts, method, run, work, source, settings, line, json)
