"""Where the file of a change is: checked before torch is imported, so that a wrong path is refused at once."""

from __future__ import annotations

import os
from pathlib import Path

from turpentine.core.errors import EditError, UnsafeFile
from turpentine.core.safe_text import one_line
from turpentine.models.loading.safe_reading import PICKLES

EDIT_FILE, GUIDANCE_FILE = RUN_CHANGES = ("edit.safetensors", "guidance.json")
"""The files of a change in a run's folder: the one of an edit, or the one of a guidance."""


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


def check_readable(path: str | os.PathLike[str]) -> Path:
    """Check a change's place as far as is possible without torch, and return its file, or the folder that it is.

    Args:
        path: The change's file, the folder of a run of `erase`, or what another program wrote.

    Raises:
        EditError: Nothing is there, or it is a run without a change.
        UnsafeFile: The file is a pickle; the message says how to convert it.
    """
    file = file_of_change(Path(path))
    if not file.exists():
        raise EditError(f"There is no edit at {one_line(str(file))}: check the path.")
    if file.suffix in PICKLES:
        raise UnsafeFile(why_no_pickle(file))
    return file


def why_no_pickle(path: Path) -> str:
    """Return the error for an edit that is a pickle, with the way to convert it."""
    return (
        f"{one_line(str(path))} is a pickle, which could run any code: where you trust its maker, read it with "
        "torch.load(path, weights_only=True), write its tensors with safetensors.torch.save_file, and give that file."
    )
