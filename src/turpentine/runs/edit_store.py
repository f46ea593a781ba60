"""The edits, and changes of the guidance, that a bench has made: by edit spec, each once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from turpentine.core.errors import EditError, NewerFormat
from turpentine.core.parts import RECORDS, Parts, discard_damaged, parts_in
from turpentine.edits import Change, Edit, load_change
from turpentine.runs.ledger import LedgerError, LostPart
from turpentine.runs.method_settings import facts_of
from turpentine.runs.specs import EditSpec


@dataclass(frozen=True)
class EditRecord:
    """The outcome of an edit spec.

    Attributes:
        method: Name of the method's class.
        settings: The method's settings.
        concepts: Texts of the edit spec's concepts.
        file: Name of the change's file; "" where there is no change.
        id: Of the change.
        seconds: Time that making it took, from its last checkpoint on.
        bytes: Size of the file.
        error: Why there is no change.
    """

    method: str
    settings: dict[str, Any]
    concepts: list[str]
    file: str = ""
    id: str = ""
    seconds: float = 0.0
    bytes: int = 0
    error: str | None = None


class EditStore:
    """A folder of changes: for each edit spec the file of the change, and a record of it.

    Args:
        folder: Where it is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = Parts(folder, "edits", RECORDS)

    def record(self, edit_spec: EditSpec) -> EditRecord | None:
        """Return the record of an edit spec, None if there is none yet."""
        content = self._records.get(edit_spec.key)
        return None if content is None else EditRecord(**content)

    def has_record(self, edit_spec: EditSpec) -> bool:
        """Return whether there is a record of an edit spec."""
        return edit_spec.key in self._records

    def load(self, edit_spec: EditSpec) -> Change:
        """Return the change of an edit spec.

        Raises:
            LostPart: It is not there, or was damaged and has been removed.
            LedgerError: The file holds another change, which somebody put there.
        """
        record = self.record(edit_spec)
        if record is None:
            raise LostPart(f"The edit of {edit_spec.name} is missing: run again, and it is made anew.")
        path = self.folder / record.file
        try:
            change = load_change(path)
        except NewerFormat:
            raise
        except EditError as error:
            self._records.discard(edit_spec.key)
            discard_damaged(path)
            raise LostPart(f"{path} is missing or damaged: run again, and it is made anew.") from error
        if change.id != record.id:
            raise LedgerError(
                f"{path} is not the one that this bench made: put that one back, or choose another folder."
            )
        return change

    @contextmanager
    def checkpoint(self, edit_spec: EditSpec) -> Iterator[Path]:
        """Give a folder for a method's checkpoints; it is removed when the block ends without an error."""
        folder = self.folder / f"{edit_spec.key}.checkpoint"
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def put(self, edit_spec: EditSpec, change: Change, seconds: float) -> None:
        """Store a change, and then its record.

        Args:
            edit_spec: What it was made from.
            change: The change.
            seconds: Time that making it took.

        Raises:
            OSError: As the file system does.
        """
        path = self.folder / f"{edit_spec.key}{ending(change)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        change.save(path)
        size = path.stat().st_size
        self._write(
            edit_spec, EditRecord(**_facts(edit_spec), file=path.name, id=change.id, seconds=seconds, bytes=size)
        )

    def put_error(self, edit_spec: EditSpec, error: str) -> None:
        """Record why an edit spec cannot be made."""
        self._write(edit_spec, EditRecord(**_facts(edit_spec), error=error))

    def forget_errors(self) -> int:
        """Remove the records of edit specs that could not be made, and return how many they were."""
        failed = [path for path, record in parts_in(self.folder, RECORDS) if record["error"] is not None]
        for path in failed:
            path.unlink()
        return len(failed)

    def _write(self, edit_spec: EditSpec, record: EditRecord) -> None:
        self._records.put(edit_spec.key, asdict(record))


def ending(change: Change) -> str:
    """Return the ending of a change's file: an edit is tensors, a change of the guidance is text."""
    return ".safetensors" if isinstance(change, Edit) else ".json"


def _facts(edit_spec: EditSpec) -> dict[str, Any]:
    facts = facts_of(edit_spec.method)
    return {
        "method": facts["name"],
        "settings": facts["settings"],
        "concepts": [concept.text for concept in edit_spec.concepts],
    }
