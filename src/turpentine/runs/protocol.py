"""How pictures for a measurement are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.core.settings import Count, Finite, Settings
from turpentine.models.drawing_defaults import DrawingSettings

SEEDS = tuple(range(8))

MOST_AT_ONCE = 16
"""Pictures at a time where memory is no matter."""


@dataclass(frozen=True)
class Protocol(DrawingSettings, Settings):
    """The settings that two measurements must share to stand in one table.

    By itself it has the steps and the guidance of the embedded worlds; `Protocol.of` has those of a model's family.

    Args:
        steps: As in `Model.generate`.
        guidance_scale: As in `Model.generate`.
        solver: As in `Model.generate`.
        seeds: Of each prompt's pictures, a picture a seed, each once.
        size: As in `Model.generate`.
        negative_prompt: As in `Model.generate`.
        batch_size: Pictures at a time; it decides memory and speed, and no more of a picture than the last bits. None
            for as many as fit into the free memory, 16 at most; see `runs.batch_size.settled`.

    Raises:
        BadArgument: There is no seed, a seed twice, or a number out of range.

    Example:
        >>> Protocol(steps=10, seeds=(0, 1)).facts()["solver"]
        'ddim'
    """

    steps: Count = 20
    guidance_scale: Finite = 4.0
    solver: str = "ddim"
    seeds: tuple[int, ...] = SEEDS
    size: Count | None = None
    negative_prompt: str = ""
    batch_size: Count | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", _checked_seeds(self.seeds))
        super().__post_init__()

    @property
    def at_once(self) -> int:
        """Pictures at a time: as given or settled, else the most."""
        return self.batch_size or MOST_AT_ONCE

    def facts(self) -> dict[str, Any]:
        """Return the fields that decide the pictures, in types of JSON."""
        facts = {**asdict(self), "seeds": list(self.seeds)}
        del facts["batch_size"]
        return facts


def _checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    checked = tuple(seeds)
    if not checked or len(set(checked)) < len(checked) or min(checked) < 0:
        raise BadArgument("The seeds of a measurement must be one at least, each from 0 up, and none twice.")
    if max(checked) >= 2**63:
        raise BadArgument(f"The seed {max(checked)} is too large: give whole numbers below 2^63.")
    return checked
