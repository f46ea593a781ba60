"""Stages of a search, stored as they come, so that one that was broken off goes on from the last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from turpentine.attack.budget import NOTHING, Spent
from turpentine.core.parts import RECORDS, Parts
from turpentine.edits import Edit
from turpentine.edits.edit_file import packed, unpacked
from turpentine.models import Artefact

_RECORD = "record"


@dataclass(frozen=True, eq=False)
class SearchStage:
    """What a search has come to.

    Args:
        artefact: The best so far.
        state: Tensors from which the search goes on; none where it begins anew.
        measurements: What the search has to say, in types of JSON.
        spent: Until here; the harness's.
        tries: Of each picture judged until here; the harness's.
    """

    artefact: Artefact | Edit
    state: Mapping[str, Tensor] = field(default_factory=dict)
    measurements: Mapping[str, Any] = field(default_factory=dict)
    spent: Spent = NOTHING
    tries: tuple[bool, ...] = ()

    def with_spent(self, spent: Spent, tries: Sequence[bool]) -> SearchStage:
        """Return the same with what was spent until here."""
        return replace(self, spent=spent, tries=tuple(tries))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return it as named tensors."""
        is_edit = isinstance(self.artefact, Edit)
        own, record = packed(self.artefact) if isinstance(self.artefact, Edit) else self.artefact.packed()
        facts = {"edit": is_edit, "artefact": record, "measurements": dict(self.measurements)}
        facts |= {"spent": asdict(self.spent), "tries": list(self.tries)}
        tensors = {f"artefact.{name}": tensor for name, tensor in own.items()}
        tensors |= {f"state.{name}": tensor.detach().cpu().clone() for name, tensor in self.state.items()}
        return {**tensors, _RECORD: torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> SearchStage:
        """Return what `to_tensors` was of."""
        facts = json.loads(bytes(tensors[_RECORD].tolist()))
        own = _below(tensors, "artefact.")
        artefact: Artefact | Edit
        if facts["edit"]:
            artefact = Edit(**unpacked(Path("stage"), own, facts["artefact"]))
        else:
            artefact = Artefact.unpacked(own, facts["artefact"])
        return cls(
            artefact,
            _below(tensors, "state."),
            facts["measurements"],
            Spent(**facts["spent"]),
            tuple(facts["tries"]),
        )


class StageStore:
    """The stages of one search in a folder.

    Args:
        folder: Where; with None nothing is stored.
        about: All that decides them.
    """

    def __init__(self, folder: Path | None, about: Sequence[Any]) -> None:
        self._parts = Parts(folder, [*about, "stages"])
        self._ends = Parts(folder, [*about, "end"], RECORDS)

    def stages(self) -> list[SearchStage]:
        """Return the stages that are there, in order."""
        stages: list[SearchStage] = []
        while (tensors := self._parts.get(len(stages))) is not None:
            stages.append(SearchStage.from_tensors(tensors))
        return stages

    def put(self, number: int, stage: SearchStage) -> None:
        """Store a stage."""
        if self._parts.folder is not None:
            self._parts.put(number, stage.to_tensors())

    def finish(self, count: int) -> None:
        """Store that the search is over after so many stages."""
        self._ends.put("end", count)

    def is_finished(self) -> bool:
        """Return whether the search is over, and all its stages are there."""
        return self._ends.get("end") == len(self.stages())


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
