"""Any change to a model: an edit of its weights, or a guidance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from turpentine.edits.edit import Edit
from turpentine.edits.guidance import GuidanceChange

Change: TypeAlias = Edit | GuidanceChange
"""Both have `id`, `strength`, `provenance`, `apply`, `remove`, `on`, `scaled` and `save`."""


def load_change(path: str | os.PathLike[str]) -> Change:
    """Read the file of an edit or of a guidance, whatever its name. Raises EditError as their own `load` does."""
    return GuidanceChange.load(path) if _is_text(Path(path)) else Edit.load(path)


def _is_text(path: Path) -> bool:
    """JSON begins with a brace and holds no zero byte; safetensors begin with a length, whose high bytes are zero."""
    if not path.is_file():
        return path.suffix == ".json"
    with path.open("rb") as file:
        first = file.read(8)
    return first.lstrip().startswith(b"{") and b"\0" not in first
