"""`turpentine amplify`: a concept amplified, how much more it shows and what else moved, and a report of it."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from turpentine.cli.edit_command import RunChoice, pursue
from turpentine.cli.options import Flat, Json, ModelChoice

METHOD = "cad-amplify"


def amplify(
    *concepts: str,
    method: str = METHOD,
    run: Annotated[RunChoice, Flat] = RunChoice(),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    settings: Annotated[Any, Parameter(parse=False)] = None,
    line: Annotated[str, Parameter(parse=False)] = "",
    json: Json = False,
) -> None:
    """Make a model show a concept more, and measure how much more, and what else moved.

    The run can be broken off at any time: the same command goes on from there.

    concepts: what to amplify; several are amplified in one edit.
    method: how; see turpentine methods. Its settings are flags too.
    """
    pursue("amplify", concepts, method, run, source, settings, line, json)
