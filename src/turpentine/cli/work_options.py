"""Flags of the commands that draw and judge through `runs`: erase, amplify and bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.help_text import with_help
from turpentine.cli.terminal import warn

WorkFlags = Parameter(name="*", group=Group("Work", sort_key=7))
FAILED = 1
"""The exit code where some pictures could not be drawn or judged."""


@with_help
@dataclass(frozen=True)
class WorkChoice:
    """Who does the work.

    Args:
        workers: Processes that draw and judge; one a GPU.
        threads: Threads of each worker on a CPU; by default as many as there are cores, however many workers share
            them. The last bits of the numbers depend on it.
        retry: Try again what could not be drawn or judged.
    """

    workers: PositiveInt = 1
    threads: PositiveInt | None = None
    retry: Annotated[bool, Parameter(negative=(), show_default=False)] = False


def exit_code(errors: Sequence[str], rows: int) -> int:
    """Warn of rows that have an error, and return the exit code.

    Args:
        errors: Why, one for each row that has one.
        rows: How many rows there are.
    """
    if not errors:
        return 0
    warn(
        f"{len(errors)} of {rows} rows could not be drawn or judged, the first one because: "
        f"{errors[0]} The same command with --retry tries them again."
    )
    return FAILED


def named_settings(text: str) -> tuple[str, Mapping[str, Any]]:
    """Read `NAME` or `NAME: {SETTING: VALUE}`, as a bench's file writes it.

    Example:
        >>> named_settings("clip: {model: emoji}")
        ('clip', {'model': 'emoji'})

    Raises:
        BadArgument: The text is neither.
    """
    from turpentine.bench.entries import one_key
    from turpentine.bench.yaml_lines import read_value

    return one_key(read_value(text), "judge")
