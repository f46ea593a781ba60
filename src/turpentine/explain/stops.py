"""How an instrument takes part in a tour: what it is run with there, and the question that it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.core.progress import Progress
from turpentine.judges.base import Judge, Sought
from turpentine.models.branches import pictures_at_once
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TourInputs:
    """What a tour or a replication offers to every instrument.

    Args:
        model: The model.
        judge: The judge of the pictures, if there is one.
        target: The judge's column and label for the concept; None without a judge, or if it cannot say.
        prompts: What is drawn, one for each picture.
        concept: Words of the prompts; None where they have none in common.
        seeds: One for each picture.
        steps: Of DDIM.
        guidance_scale: w.
        rows: Of the denoiser in a call, at most.
    """

    model: Model
    judge: Judge | None
    target: Sought | None
    prompts: Sequence[str]
    concept: str | None
    seeds: Sequence[int]
    steps: int
    guidance_scale: float
    rows: int

    @property
    def drawing(self) -> dict[str, Any]:
        """The settings that every instrument which draws has."""
        return {"steps": self.steps, "guidance_scale": self.guidance_scale}

    @property
    def rows_per_picture(self) -> int:
        """Rows of the denoiser that a picture takes in a step."""
        return rows_in_a_step(self.model, self.guidance_scale, self.steps)

    @property
    def rows_to_draw(self) -> int:
        """Rows of the denoiser for all the pictures as they are."""
        return self.rows_per_picture * self.steps * len(self.seeds)

    @property
    def batch_size(self) -> int:
        """Pictures that share a call of the denoiser."""
        return pictures_at_once(0, self.rows, self.rows_per_picture)


@dataclass(frozen=True)
class Page:
    """What a page of documents shows of a finding.

    Args:
        tables: In Markdown, by the names of the marks that they stand between.
        figures: By the names of their files.
    """

    tables: Mapping[str, str]
    figures: Mapping[str, Figure]

    @property
    def text(self) -> str:
        """Return the tables between their marks."""
        return "\n".join(f"<!-- {name} -->\n{table}\n<!-- /{name} -->\n" for name, table in self.tables.items())


@dataclass(frozen=True)
class Stop:
    """An instrument in a tour. Its class returns those that it has by `stops`, a classmethod of a `TourInputs`.

    Args:
        name: Of its folder.
        question: That it answers.
        order: Its place: stops are visited from the smallest to the largest.
        rows: Of the denoiser, all in all.
        settings: The instrument.
        run: Returns the finding, given a folder for finished parts and a function for progress, or None for each.
        plot: Returns the plot of a finding.
        overhead: Returns the seconds that it takes beside the denoiser, by a trial.
        page: Returns what a page of documents shows of a finding, if any does.
    """

    name: str
    question: str
    order: int
    rows: int
    settings: Any
    run: Callable[[Path | None, Progress | None], Any]
    plot: Callable[[Any], Figure] = field(default=lambda finding: finding.plot())
    overhead: Callable[[], float] = field(default=lambda: 0.0)
    page: Callable[[Any], Page] | None = None
