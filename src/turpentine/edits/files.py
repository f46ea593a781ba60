"""Read the files of changes: edits and guidances of ours, and edits that other programs publish."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from turpentine.core.errors import EditError
from turpentine.core.safe_text import one_line
from turpentine.core.sealed import is_foreign, is_json
from turpentine.edits.edit import Edit
from turpentine.edits.formats.foreign import check_readable, import_edit
from turpentine.edits.guidance_change import GuidanceChange
from turpentine.models import Model

Change: TypeAlias = Edit | GuidanceChange
"""A change to a model. Both have `id`, `strength`, `provenance`, `apply`, `remove`, `on`, `scaled` and `save`."""


def load_change(path: str | os.PathLike[str]) -> Change:
    """Read an edit or a guidance that `save` wrote, whatever the file's name.

    Raises:
        EditError: The file is missing, foreign, truncated or altered.

    Example:
        >>> change = NegativePrompt()(model, Concept("church"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     change.save(f"{folder}/no-church")
        ...     load_change(f"{folder}/no-church") == change
        True
    """
    return GuidanceChange.load(path) if is_json(path) else Edit.load(path)


def read_edit(path: str | os.PathLike[str], model: Model) -> Edit:
    """Read an edit for a model: one of ours as `Edit.load` does, or another program's as `import_edit` does.

    Args:
        path: The edit's file, or a folder with an edited network or pipeline.
        model: The model that the edit was made from, without edits on it.

    Raises:
        EditError: Nothing is there, it cannot be read as an edit, or it is a guidance.
        UnsafeFile: The file is a pickle.
    """
    check_readable(path)
    if Path(path).is_dir() or is_foreign(path):
        return import_edit(path, model)
    change = load_change(path)
    if isinstance(change, Edit):
        return change
    raise EditError(f"{one_line(str(path))} is a guidance and changes no weight: put it on where pictures are drawn.")
