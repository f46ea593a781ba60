"""A model with its edits baked in, as a folder for other programs."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from turpentine.core.errors import EditError
from turpentine.core.tensors import as_os_errors
from turpentine.edits.stack import stack_of
from turpentine.models import Model
from turpentine.models.loading.quiet_logging import quiet

RECORD = "turpentine.json"


def save_pipeline(model: Model, folder: str | os.PathLike[str]) -> None:
    """Write the model as it is now, edits included, as a full diffusers folder in safetensors, whole or not at all.

    `diffusers` loads it as any other and draws the same pictures. `turpentine.json` in it lists the edits, in order.
    Raises EditError if the folder exists and is not empty, OSError as the file system does.
    """
    target = Path(folder)
    refuse_taken(target, an_empty_folder_is_free=True)
    with _whole_folder(target) as aside, quiet(), as_os_errors(target):
        model.pipeline.save_pretrained(aside, safe_serialization=True)
        (aside / RECORD).write_text(baked(model), encoding="utf-8")


def refuse_taken(path: str | os.PathLike[str], *, an_empty_folder_is_free: bool = False) -> None:
    """Raise EditError if there is something at `path` that an export would replace."""
    target = Path(path)
    if an_empty_folder_is_free and target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise EditError(f"{target} exists already: choose another place, or remove it first.")


def refuse_edited(model: Model) -> None:
    """Raise EditError if an edit is on the model, whose weights are then not its own."""
    if len(stack_of(model)):
        raise EditError(f"{model.name} has {len(stack_of(model))} edits on it, and must have none: take them off.")


def baked(model: Model) -> str:
    """What is in an export, as JSON: the model's name, its base's fingerprint, and the edits in their order."""
    edits = [
        {"id": edit.id, "strength": edit.strength, "provenance": edit.provenance.to_json()} for edit in stack_of(model)
    ]
    return json.dumps({"model": model.name, "base": model.fingerprint, "edits": edits}, indent=2)


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A folder aside that becomes `target` in one step when the block ends well, and goes away when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".part-{secrets.token_hex(8)}"
    aside.mkdir()
    try:
        yield aside
        _flush(aside)
        os.replace(aside, target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(folder.stat().st_mode & 0o666)  # safetensors leaves files that only their owner may read
            with path.open("rb+") as file:
                os.fsync(file.fileno())
