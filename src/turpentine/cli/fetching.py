"""What must be fetched first: it is named with its size, and who sits at a terminal is asked, before anything comes."""

from __future__ import annotations

import sys
from functools import cache as once

from turpentine.cli.terminal import err, plain, warn
from turpentine.core.errors import BadArgument


def agree_to_fetch(who: str, what: str) -> None:
    """Ask whether something may be fetched; where nobody can answer, say that it is fetched now.

    Args:
        who: What it is for, such as "The model owner/name".
        what: The files and their size.

    Raises:
        BadArgument: The answer is no.
    """
    who, what = plain(who), plain(what)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        warn(f"{who} needs {what}: it is fetched now.")
        return
    _ask(who, what)


@once
def _ask(who: str, what: str) -> None:
    err().print(f"{who} needs {what}. Fetch it? [Y/n] ", end="", soft_wrap=True)
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n") or answer.strip().lower() not in ("", "y", "yes"):
        raise BadArgument(f"{who} was not fetched: answer y, or give one that is here.")
