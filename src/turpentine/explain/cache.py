"""What a long instrument has finished, kept in a folder, so that a run that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from turpentine.core.errors import EditError
from turpentine.core.hashing import digest
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.edits import stack_of
from turpentine.judges.base import Judge
from turpentine.models.model import Model

KIND = "part of a finding"
REVISION = 1
"""Goes up when an instrument comes to other numbers from the same settings."""
PARTS = "parts"
"""The folder of parts beside what they become, where it goes once that is there."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """Tensors by what they were computed from, in a folder; without a folder nothing is kept.

    about: what all parts have in common, as JSON has it.
    """

    folder: Path | None
    about: Any

    @classmethod
    def of(cls, folder: Path | None, model: Model, settings: Any, judge: Judge | None = None) -> Kept:
        """Those of an instrument with these settings, on a model with the edits that are on it now."""
        return cls(folder, [circumstances(model, judge), type(settings).__name__, asdict(settings)] if folder else None)

    def part(self, what: Any, make: Callable[[], Tensors]) -> Tensors:
        """What `make` gives, or gave in an earlier run, on the CPU then; `what`, as JSON has it, is all it depends on.

        A file that is damaged counts as none. Raises OSError as the file system does.
        """
        if self.folder is None:
            return make()
        facts = {"revision": REVISION, "about": self.about, "part": what}
        record = json.loads(json.dumps(facts, default=str))
        path = self.folder / f"{digest(record)}.safetensors"
        with suppress(EditError):
            found, told = read_sealed(path, KIND)
            if told == record:
                return found
        made = make()
        write_sealed(path, made, record, KIND)
        return made


def circumstances(model: Model, judge: Judge | None) -> dict[str, Any]:
    """What decides an instrument's numbers beside its settings and what it is asked, as JSON has it."""
    pipeline = model.pipeline
    schedule = {key: value for key, value in pipeline.scheduler.config.items() if not key.startswith("_")}
    return {
        "model": [model.fingerprint, model.device.type, list(stack_of(model).ids)],
        "formats": {name: str(part.dtype) for name, part in model.components.items()},
        "schedule": schedule,
        "empty prompt is zeros": bool(pipeline.config.get("force_zeros_for_empty_prompt")),
        "judge": [judge.name, judge.revision, dict(judge.settings or {})] if judge else None,
    }
