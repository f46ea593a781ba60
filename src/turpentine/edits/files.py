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

RUN_CHANGES = (Edit.file_name, GuidanceChange.file_name)
"""The files of a change in a run's folder: the one of an edit, or the one of a guidance."""


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
    path = file_of_change(Path(path))
    check_readable(path)
    if not (path.is_dir() or is_foreign(path)):
        load_change(path)


def read_change(path: str | os.PathLike[str], model: Model) -> Change:
    """Read a change for a model: an edit or guidance of ours, a finished run's, or another program's edit.

    Args:
        path: The change's file, the folder of a run of `erase`, or what `import_edit` takes, such as a LoRA.
        model: The model that an edit of another program was made from, without edits on it.

    Raises:
        EditError: Nothing is there, or it cannot be read as a change.
        UnsafeFile: The file is a pickle.
    """
    path = file_of_change(Path(path))
    check_readable(path)
    return import_edit(path, model) if path.is_dir() or is_foreign(path) else load_change(path)


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


def file_of_change(path: Path) -> Path:
    """Return the file of a run's change where the path is a run's folder, else the path itself.

    Raises:
        EditError: The run has not made its change yet, or is of a bench, which has several.
    """
    if not path.is_dir():
        return path
    named = [path / name for name in RUN_CHANGES if (path / name).is_file()]
    if named:
        return named[0]
    several = sorted(each for each in (path / "edits").glob("*") if each.suffix in (".safetensors", ".json"))
    several = [each for each in several if not each.name.endswith(".part.json")]
    if several:
        raise EditError(f"{one_line(str(path))} holds {len(several)} edits of a bench: name one, such as {several[0]}.")
    if (path / "run.json").is_file():
        raise EditError(f"The run in {one_line(str(path))} has no edit yet: the command that began it makes it.")
    return path
