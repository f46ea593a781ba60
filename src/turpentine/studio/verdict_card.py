"""The verdict of an audit as the page shows it, from the file that `turpentine audit` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from turpentine.audit.audited import RECORD
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent
from turpentine.core.safe_text import one_line
from turpentine.edits import Change

_LARGEST = 50_000_000


def verdict_card(path: str, changes: tuple[Change, ...] = ()) -> dict[str, Any]:
    """Return the verdict, why, and the rates of an audit.

    Args:
        path: Of `audit.json`, or of the folder that an audit wrote.
        changes: Of the stack, to say whether the audit is of them.

    Raises:
        BadArgument: There is no audit, or the file is none.
    """
    file = Path(path.strip())
    file = file / RECORD if file.is_dir() else file
    name = one_line(str(file))
    if not path.strip() or not file.is_file():
        raise BadArgument(f"There is no audit at {name}: give the folder that turpentine audit wrote, or its {RECORD}.")
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("too large")
        return _card(json.loads(file.read_text(encoding="utf-8")), changes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadArgument(
            f"{name} is no audit, or is damaged: give the {RECORD} that turpentine audit wrote."
        ) from None


def _card(content: dict[str, Any], changes: tuple[Change, ...]) -> dict[str, Any]:
    arms = list(dict.fromkeys(row["arm"] for row in content["rates"]))
    rates = {(row["attack"], row["arm"]): _rate(row) for row in content["rates"]}
    attacks = list(dict.fromkeys(row["attack"] for row in content["rates"]))
    audited = content["protocol"]["arms"]["edited"]["changes"]
    return {
        "verdict": str(content["verdict"]),
        "title": str(content["title"]),
        "reasons": [str(each) for each in content["reasons"]],
        "arms": arms,
        "rows": [[attack, *(rates.get((attack, arm), "–") for arm in arms)] for attack in attacks],
        "depth": content["depth"]["score"],
        "not_tried": str(content["not_tried"]),
        "protocol": str(content["protocol_sha256"]),
        "is_of_stack": list(audited) == [change.id for change in changes],
    }


def _rate(row: dict[str, Any]) -> str:
    return f"{percent(row['rate'])} ({percent(row['low'])} to {percent(row['high'])}) of {row['n']}"
