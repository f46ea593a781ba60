"""A tour: one prompt and one concept of it, every instrument in turn, that goes on where it was broken off."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from turpentine.core.atomic_files import discard, write_text_whole
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_file
from turpentine.core.parts import RECORDS, TENSORS, DamagedPart, Parts
from turpentine.core.plugins import plugins
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._plots import save_plot
from turpentine.explain.cache import PARTS, about_run
from turpentine.explain.stops import Page, Stop, TourInputs
from turpentine.judges.base import Judge, sought
from turpentine.judges.worlds import check_judge_of
from turpentine.models.drawing_defaults import drawing_of, with_drawing
from turpentine.models.model import Model

StopProgress = Callable[[str, int, int], None]
"""Called with the stop's name, units done, and in all."""

TABLE, PLOT, PAGE, STOP = "table.parquet", "plot.png", "tables.md", "stop"


@dataclass(frozen=True)
class StopResult:
    """A finished stop, in its folder.

    Args:
        name: Of the stop.
        question: That it answers.
        text: The answer, in a sentence or two.
        seconds: That it took.
        folder: Of table.parquet and plot.png.
        skipped: Whether an earlier run finished it.
    """

    name: str
    question: str
    text: str
    seconds: float
    folder: Path
    skipped: bool

    @property
    def table(self) -> Path:
        """The file of the table."""
        return self.folder / TABLE

    @property
    def plot(self) -> Path:
        """The file of the plot."""
        return self.folder / PLOT


@dataclass(frozen=True)
class Visits(Settings, ABC):
    """Runs stops one after the other, each into a folder of its own, and goes on where it was broken off."""

    @abstractmethod
    def stops(self, model: Model, judge: Judge | None = None) -> list[Stop]:
        """Return what there is to run, in order."""

    def about(self, model: Model) -> dict[str, Any]:
        """Return what decides the stops' numbers beside the model and each stop's own settings."""
        return asdict(with_drawing(self, model))

    def __call__(
        self, model: Model, folder: Path, *, judge: Judge | None = None, progress: StopProgress | None = None
    ) -> list[StopResult]:
        """Run all stops, and write the finding of each to a folder of its name; finished ones are not run again.

        A stop counts as finished with the same model, edits, judge and settings only.

        Args:
            model: The model.
            folder: Of the stops' folders.
            judge: Of the pictures.
            progress: Called with the stop's name, units done, and in all.

        Raises:
            BadArgument: See `stops`.
            EmptyConcept: See `stops`.
        """
        return [self._visit(stop, model, folder, judge, progress) for stop in self.stops(model, judge)]

    def is_done(self, stop: Stop, model: Model, folder: Path, judge: Judge | None = None) -> bool:
        """Return whether an earlier run left what this stop would find."""
        return _earlier(self._records(stop, model, folder, judge)) is not None

    def _visit(
        self, stop: Stop, model: Model, folder: Path, judge: Judge | None, progress: StopProgress | None
    ) -> StopResult:
        records, place = self._records(stop, model, folder, judge), folder / stop.name
        earlier = _earlier(records)
        if earlier is not None:
            discard(place / PARTS, f"*{TENSORS.suffix}")
            return StopResult(stop.name, stop.question, earlier["text"], earlier["seconds"], place, skipped=True)
        place.mkdir(parents=True, exist_ok=True)
        for path in place.glob(f"*{RECORDS.suffix}"):  # they are of the files that are replaced now
            path.unlink()
        start = time.monotonic()
        finding = stop.run(place / PARTS, (lambda done, total: progress(stop.name, done, total)) if progress else None)
        seconds, text = time.monotonic() - start, finding.summary()
        finding.save(place / TABLE)
        save_plot(stop.plot(finding), place / PLOT)
        names = [TABLE, PLOT, *(_save_page(stop.page(finding), place) if stop.page else [])]
        # Last, so that a stop without it is not finished.
        records.put(STOP, {"text": text, "seconds": seconds, "files": _digests(place, names)})
        discard(place / PARTS, f"*{TENSORS.suffix}")
        return StopResult(stop.name, stop.question, text, seconds, place, skipped=False)

    def _records(self, stop: Stop, model: Model, folder: Path, judge: Judge | None) -> Parts[Any]:
        """Return the store of a stop's record: text, seconds, and the SHA-256 of its files."""
        about = {type(self).__name__.lower(): self.about(model), **about_run(model, stop.settings, judge)}
        return Parts(folder / stop.name, about, RECORDS)


@dataclass(frozen=True)
class Tour(Visits):
    """Explain a concept of a prompt by one instrument after the other: where, when and how the model draws it.

    Args:
        prompt: What is drawn.
        concept: Words of it.
        seeds: Of the pictures.
        steps: Of DDIM; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        rows: Of the denoiser in a call, at most; fewer take less memory.
    """

    prompt: str
    concept: str
    seeds: tuple[int, ...] = tuple(range(8))
    steps: Count | None = None
    guidance_scale: Finite | None = None
    rows: Count = 256

    def stops(self, model: Model, judge: Judge | None = None) -> list[Stop]:
        """Return what the instruments have to show, in order.

        Without a judge that can say whether a picture shows the concept nothing is traced.

        Raises:
            BadArgument: There is no seed, or the prompt is too long.
            EmptyConcept: The concept is not in the prompt.
        """
        check_judge_of(model, judge)
        if not self.seeds:
            raise BadArgument("There is no seed: give one at least.")
        model.text.check_fits(self.prompt)
        model.text.find(self.prompt, self.concept)
        target = sought(judge, self.concept) if judge else None
        prompts = [self.prompt] * len(self.seeds)
        inputs = TourInputs(
            model, judge, target, prompts, self.concept, self.seeds, rows=self.rows, **drawing_of(self, model)
        )
        classes = [plugin.load() for plugin in plugins("instrument").values()]
        stops = [stop for cls in classes if hasattr(cls, "stops") for stop in cls.stops(inputs)]
        return sorted(stops, key=lambda stop: stop.order)


def _earlier(records: Parts[Any]) -> dict[str, Any] | None:
    """Return the record of a stop that an earlier run finished; None if its table or plot has changed since."""
    record: dict[str, Any] | None = records.get(STOP)
    if record is None or records.folder is None:
        return None
    digests = _digests(records.folder, record["files"])
    for name, digest in record["files"].items():
        if digests[name] != digest:
            warnings.warn(
                f"{records.folder / name} is missing or damaged: it is computed anew.", DamagedPart, stacklevel=2
            )
            return None
    return record


def _save_page(page: Page, place: Path) -> list[str]:
    """Write what a page of documents shows, and return the files' names."""
    write_text_whole(place / PAGE, page.text)
    for name, figure in page.figures.items():
        save_plot(figure, place / f"{name}.png")
    return [PAGE, *(f"{name}.png" for name in page.figures)]


def _digests(place: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Return the SHA-256 of a stop's files, None for one that is missing."""
    return {name: digest_file(place / name) if (place / name).is_file() else None for name in names}
