"""What a long instrument has finished, stored in a folder, so that a run that was broken off goes on where it was."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from turpentine.core.parts import Parts, Tensors
from turpentine.judges.base import Judge
from turpentine.models.drawing_defaults import with_drawing
from turpentine.models.identity import describe
from turpentine.models.model import Model

REVISION = 2
"""Goes up when an instrument comes to other numbers from the same settings."""
PARTS = "parts"
"""The folder of parts beside what they become, where it goes once that is there."""


def parts_of(folder: Path | None, model: Model, settings: Any, judge: Judge | None = None) -> Parts[Tensors]:
    """Return the parts of an instrument on a model with the changes that are on it now.

    Args:
        folder: Where; with None nothing is stored.
        model: The model.
        settings: The instrument: a dataclass.
        judge: Whose scores are among the parts, if any.
    """
    return Parts(folder, about_run(model, settings, judge) if folder else None)


def about_run(model: Model, settings: Any, judge: Judge | None = None) -> dict[str, Any]:
    """Return all that decides an instrument's numbers beside its prompts and seeds, as JSON has it."""
    return {
        "revision": REVISION,
        "instrument": [type(settings).__name__, asdict(with_drawing(settings, model))],
        "model": describe(model),
        "judge": [judge.name, judge.revision, dict(judge.settings or {})] if judge else None,
    }
