"""A folder where a run keeps what it would be sorry to compute again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.core.tensors import discard
from turpentine.edits import Provenance
from turpentine.models import Model


class Checkpoint:
    """Tensors by name in a folder, each file whole and checked, that belong to one run only.

    folder: where; None keeps nothing. run: all that decides the run's numbers, as JSON has it.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, run: Mapping[str, Any]) -> None:
        self.folder = Path(folder) if folder is not None else None
        self._run: dict[str, Any] = json.loads(json.dumps(run))

    def load(self, name: str) -> dict[str, Tensor] | None:
        """What was saved under this name, None if nothing was.

        Raises BadArgument if it is another run's, EditError if the file is damaged.
        """
        if self.folder is None or not self._path(name).exists():
            return None
        tensors, record = read_sealed(self._path(name), "checkpoint")
        self._check_run(record.get("run", {}))
        return tensors

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under this name, in the place of those kept before. Raises OSError as the file system does."""
        if self.folder is not None:
            write_sealed(self._path(name), tensors, {"run": self._run}, "checkpoint")

    def discard(self) -> None:
        """Forget all that is kept."""
        if self.folder is not None:
            discard(self.folder)

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}.safetensors"

    def _check_run(self, other: Mapping[str, Any]) -> None:
        keys = sorted({*self._run, *other})
        differing = [key for key in keys if self._run.get(key) != other.get(key)]
        if differing:
            what = ", ".join(f"{key} {other.get(key)!r} there and {self._run.get(key)!r} here" for key in differing)
            raise BadArgument(f"The checkpoint {self.folder} is of another run ({what}): remove it or name another.")


def facts_of(model: Model, provenance: Provenance) -> dict[str, Any]:
    """All that decides the numbers of a run: two runs with the same facts may share a checkpoint."""
    record = provenance.to_json()
    facts = {key: record[key] for key in ("method", "settings", "concepts", "base", "onto")}
    return {**facts, "dtype": str(model.dtype)}
