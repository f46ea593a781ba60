"""How many rows of the denoiser go into a call of an instrument: as many as fit, kept with its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.cli.terminal import warn
from turpentine.core.atomic_files import write_text_whole

if TYPE_CHECKING:
    from turpentine.models import Model

ROWS = "rows.txt"


def stored_rows(model: Model, folder: Path, *, store: bool = True) -> int:
    """Return how many rows of the denoiser go into a call, by the free memory.

    What fitted is stored with the results, whose numbers hang on it, so that the same command goes on from them.

    Args:
        model: The model.
        folder: Of the results.
        store: Whether to store it; it is read in any case.
    """
    from turpentine.models.row_memory import MOST, fitting_rows

    stored = folder / ROWS
    if stored.is_file() and stored.read_text(encoding="utf-8").strip().isdigit():
        return int(stored.read_text(encoding="utf-8"))
    rows = fitting_rows(model)
    if rows < MOST:
        warn(f"Memory is short: {rows} rows of the denoiser go into a call, and not {MOST}; --rows says otherwise.")
        if store:
            write_text_whole(stored, f"{rows}\n")
    return rows
