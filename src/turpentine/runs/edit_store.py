"""Edits, and changes of the guidance, that a bench has made: by recipe, each once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from turpentine.core.atomic_files import write_whole
from turpentine.edits import Change, Edit, load_change
from turpentine.runs.ledger import LedgerError
from turpentine.runs.method_settings import facts_of
from turpentine.runs.specs import Recipe


@dataclass(frozen=True)
class Made:
    """What became of a recipe.

    method, settings, concepts: of the recipe. file: the name of the change's file. id: the change's. seconds: that it
    took, from its last checkpoint on. bytes: of the file. error: why there is no change; then the rest is 0 or "".
    """

    method: str
    settings: dict[str, Any]
    concepts: list[str]
    file: str = ""
    id: str = ""
    seconds: float = 0.0
    bytes: int = 0
    error: str | None = None


class Changes:
    """A folder of changes: for each recipe the file of the change, and one that tells of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def made(self, recipe: Recipe) -> Made | None:
        """What became of a recipe, None if nothing did yet. Raises LedgerError for a damaged file."""
        return _read(self._facts(recipe))

    def is_made(self, recipe: Recipe) -> bool:
        """Is it known what became of a recipe?"""
        return self._facts(recipe).is_file()

    def load(self, recipe: Recipe) -> Change:
        """The change of a recipe. Raises LedgerError if it is not there, or another one, and EditError if damaged."""
        made = self.made(recipe)
        path = self.folder / made.file if made else self._facts(recipe)
        if made is None or not path.is_file():
            raise LedgerError(f"{path} is missing: remove {self._facts(recipe)} and run again, and both are made anew.")
        change = load_change(path)
        if change.id != made.id:
            raise LedgerError(
                f"{path} is not the one that this bench made: put that one back, or choose another folder."
            )
        return change

    @contextmanager
    def checkpoint(self, recipe: Recipe) -> Iterator[Path]:
        """A folder for what a method keeps while it works; it is removed when the block ends well."""
        folder = self.folder / f"{recipe.key}.checkpoint"
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def put(self, recipe: Recipe, change: Change, seconds: float) -> None:
        """Keep a change, and then what tells of it. Raises OSError as the file system does."""
        path = self.folder / f"{recipe.key}{ending(change)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        change.save(path)
        size = path.stat().st_size
        self._write(recipe, Made(**_told(recipe), file=path.name, id=change.id, seconds=seconds, bytes=size))

    def put_error(self, recipe: Recipe, error: str) -> None:
        """Note that a recipe cannot be made."""
        self._write(recipe, Made(**_told(recipe), error=error))

    def forget_errors(self) -> int:
        """Forget which recipes could not be made. How many they were. Raises LedgerError for a damaged file."""
        told = {path: _read(path) for path in self.folder.glob(f"*{_MADE}")}
        failed = [path for path, made in told.items() if made and made.error is not None]
        for path in failed:
            path.unlink()
        return len(failed)

    def _facts(self, recipe: Recipe) -> Path:
        return self.folder / f"{recipe.key}{_MADE}"

    def _write(self, recipe: Recipe, made: Made) -> None:
        with write_whole(self._facts(recipe)) as aside:
            aside.write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")


def ending(change: Change) -> str:
    """How a change's file name ends: an edit is tensors, a change of the guidance is text."""
    return ".safetensors" if isinstance(change, Edit) else ".json"


_MADE = ".made.json"


def _told(recipe: Recipe) -> dict[str, Any]:
    facts = facts_of(recipe.method)
    return {
        "method": facts["name"],
        "settings": facts["settings"],
        "concepts": [concept.text for concept in recipe.concepts],
    }


def _read(path: Path) -> Made | None:
    try:
        return Made(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LedgerError(f"{path} is damaged: remove it and run again, and it is made anew.") from error
