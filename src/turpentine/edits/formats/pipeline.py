"""Export a model with its edits baked in as a diffusers folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from turpentine.core.atomic_files import reserve
from turpentine.core.errors import EditError
from turpentine.core.tensors import as_os_errors
from turpentine.edits.edit import stack_of
from turpentine.models import Model
from turpentine.models.loading.quiet_logging import quiet

RECORD = "turpentine.json"


def save_pipeline(model: Model, folder: str | os.PathLike[str]) -> None:
    """Write the model as it is now, edits included, as a full diffusers folder in safetensors, whole or not at all.

    diffusers loads it like any other and draws the same pictures. `turpentine.json` in it lists the edits, in order.

    Args:
        model: The model to write.
        folder: Where to; it must not exist, or be empty.

    Raises:
        EditError: The folder exists and is not empty.
        OSError: The disk is full, or another error of the file system.
    """
    target = Path(folder)
    refuse_existing(target, allow_empty_folder=True)
    with _whole_folder(target) as partial, quiet(), as_os_errors(target):
        model.pipeline.save_pretrained(partial, safe_serialization=True)
        (partial / RECORD).write_text(export_record(model), encoding="utf-8")


def refuse_existing(path: str | os.PathLike[str], *, allow_empty_folder: bool = False) -> None:
    """Check that there is nothing at `path` that an export would replace.

    Raises:
        EditError: There is.
    """
    target = Path(path)
    if allow_empty_folder and target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise EditError(f"{target} exists already: choose another place, or remove it first.")


def refuse_edited(model: Model) -> None:
    """Check that no edit is on the model, so that its weights are its own.

    Raises:
        EditError: There is one.
    """
    if len(stack_of(model)):
        raise EditError(f"{model.name} has {len(stack_of(model))} edits on it, and must have none: take them off.")


def export_record(model: Model) -> str:
    """Return what an export contains, as JSON: the model's name, its base's fingerprint, and the edits in order."""
    edits = [
        {"id": edit.id, "strength": edit.strength, "provenance": edit.provenance.to_json()} for edit in stack_of(model)
    ]
    return json.dumps({"model": model.name, "base": model.fingerprint, "edits": edits}, indent=2)


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` at the end of the block, or is removed on an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = reserve(target)
    try:
        yield partial
        _flush(partial)
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(folder.stat().st_mode & 0o666)  # safetensors leaves files that only their owner may read
            with path.open("rb+") as file:
                os.fsync(file.fileno())
