"""Read the files of changes: edits and guidances of ours, and edits that other programs publish."""

from __future__ import annotations

import os
from typing import TypeAlias

from turpentine.core.errors import EditError
from turpentine.core.safe_text import one_line
from turpentine.core.sealed import is_foreign, is_json
from turpentine.edits.edit import Edit
from turpentine.edits.formats.foreign import import_edit
from turpentine.edits.guidance_change import GuidanceChange
from turpentine.edits.places import check_readable
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


def check_change(path: str | os.PathLike[str]) -> None:
    """Check the file of a change as far as is possible without a model, so that no model is loaded for a damaged one.

    Raises:
        EditError: Nothing is there, or it is damaged.
        UnsafeFile: The file is a pickle.
    """
    file = check_readable(path)
    if not (file.is_dir() or is_foreign(file)):
        load_change(file)


def read_change(path: str | os.PathLike[str], model: Model) -> Change:
    """Read a change for a model: an edit or guidance of ours, a finished run's, or another program's edit.

    Args:
        path: The change's file, the folder of a run of `erase`, or what `import_edit` takes, such as a LoRA.
        model: The model that an edit of another program was made from, without edits on it.

    Raises:
        EditError: Nothing is there, or it cannot be read as a change.
        UnsafeFile: The file is a pickle.
    """
    file = check_readable(path)
    return import_edit(file, model) if file.is_dir() or is_foreign(file) else load_change(file)


def read_edit(path: str | os.PathLike[str], model: Model) -> Edit:
    """Read an edit for a model, as `read_change` does.

    Args:
        path: As in `read_change`.
        model: As in `read_change`.

    Raises:
        EditError: Nothing is there, it cannot be read as an edit, or it is a guidance.
        UnsafeFile: The file is a pickle.
    """
    change = read_change(path, model)
    if isinstance(change, Edit):
        return change
    raise EditError(f"{one_line(str(path))} is a guidance and changes no weight: put it on where pictures are drawn.")
