"""`turpentine amplify`: a concept amplified, how much more it shows and what else moved, and a report of it."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from turpentine.cli.edit_command import RunChoice, RunFlags, run_command
from turpentine.cli.options import REQUIRED, Json, ModelChoice, ModelFlags
from turpentine.cli.work_options import WorkChoice, WorkFlags


def amplify(
    *concepts: Annotated[str, REQUIRED],
    method: str | None = None,
    run: Annotated[RunChoice, RunFlags] = RunChoice(),
    work: Annotated[WorkChoice, WorkFlags] = WorkChoice(),
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    settings: Annotated[Any, Parameter(parse=False)] = None,
    line: Annotated[str, Parameter(parse=False)] = "",
    json: Json = False,
) -> int:
    """Make a model show a concept more, and measure how much more, and what else moved.

    The run can be broken off at any time: the same command goes on from there. It ends with 1 where some pictures could
    not be drawn or judged.

    Args:
        concepts: What to amplify; several are amplified in one edit.
        method: How; by default the one chosen for the kind of concept, see turpentine methods. Its settings are flags
            too.
        run: What is measured, and where it is written.
        work: Who does the work.
        source: Which model, and where it runs.
        settings: Flags of the method's settings; `with_settings` adds them.
        line: The command line, for the report.
        json: Print one JSON document, also of an error.

    Example:
        turpentine amplify "nine lives" --seeds 0-3
    """
    return run_command("amplify", concepts, method, run, work, source, settings, line, json)
