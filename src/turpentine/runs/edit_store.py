"""Edits, and changes of the guidance, that a bench has made: by recipe, each once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from turpentine.core.errors import EditError
from turpentine.core.parts import RECORDS, Parts, discard_damaged, parts_in
from turpentine.edits import Change, Edit, load_change
from turpentine.runs.ledger import LedgerError, LostPart
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
    """A folder of changes: for each recipe the file of the change, and a part that tells of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = Parts(folder, "edits", RECORDS)

    def made(self, recipe: Recipe) -> Made | None:
        """Return what became of a recipe, None if nothing did yet."""
        record = self._records.get(recipe.key)
        return None if record is None else Made(**record)

    def is_made(self, recipe: Recipe) -> bool:
        """Is it known what became of a recipe?"""
        return recipe.key in self._records

    def load(self, recipe: Recipe) -> Change:
        """Return the change of a recipe.

        Raises:
            LostPart: It is not there, or was damaged and has been removed.
            LedgerError: The file holds another change, which somebody put there.
        """
        made = self.made(recipe)
        if made is None:
            raise LostPart(f"The edit of {recipe.name} is missing: run again, and it is made anew.")
        path = self.folder / made.file
        try:
            change = load_change(path)
        except EditError as error:
            self._records.discard(recipe.key)
            discard_damaged(path)
            raise LostPart(f"{path} is missing or damaged: run again, and it is made anew.") from error
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
        """Store a change, and then what tells of it. Raises OSError as the file system does."""
        path = self.folder / f"{recipe.key}{ending(change)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        change.save(path)
        size = path.stat().st_size
        self._write(recipe, Made(**_facts(recipe), file=path.name, id=change.id, seconds=seconds, bytes=size))

    def put_error(self, recipe: Recipe, error: str) -> None:
        """Note that a recipe cannot be made."""
        self._write(recipe, Made(**_facts(recipe), error=error))

    def forget_errors(self) -> int:
        """Forget which recipes could not be made, and return how many they were."""
        failed = [path for path, record in parts_in(self.folder, RECORDS) if record["error"] is not None]
        for path in failed:
            path.unlink()
        return len(failed)

    def _write(self, recipe: Recipe, made: Made) -> None:
        self._records.put(recipe.key, asdict(made))


def ending(change: Change) -> str:
    """How a change's file name ends: an edit is tensors, a change of the guidance is text."""
    return ".safetensors" if isinstance(change, Edit) else ".json"


def _facts(recipe: Recipe) -> dict[str, Any]:
    facts = facts_of(recipe.method)
    return {
        "method": facts["name"],
        "settings": facts["settings"],
        "concepts": [concept.text for concept in recipe.concepts],
    }
