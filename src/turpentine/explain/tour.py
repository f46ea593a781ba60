"""A tour: one prompt and one concept of it, every instrument in turn, that goes on where it was broken off."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from matplotlib.figure import Figure

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.hashing import digest_file
from turpentine.core.parts import RECORDS, DamagedPart, Parts
from turpentine.core.progress import Progress
from turpentine.core.tensors import discard
from turpentine.explain import summaries as said
from turpentine.explain._codes import intervention
from turpentine.explain.cache import PARTS, about_run
from turpentine.explain.dynamics import Dynamics
from turpentine.explain.heads import Heads
from turpentine.explain.intervene import UNTOUCHED, Intervene, Interventions
from turpentine.explain.maps import Maps
from turpentine.explain.trace import KINDS, Trace
from turpentine.judges.base import Judge, Sought, sought
from turpentine.models.branches import branch_rows, pictures_at_once, runs_at_once
from turpentine.models.generate import batches
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.text import words_of

QUARTERS = ("1", "2", "3", "4")
"""The thesis's windows that follow one another; see `letters.WINDOWS`."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "animals": ("dog", "cat", "horse", "fish", "owl", "elephant", "penguin", "whale"),
    "vehicles": ("car", "truck", "bus", "bicycle", "airplane", "rocket", "sailboat", "balloon"),
    "colours": ("red", "blue", "green", "yellow", "purple", "orange", "pink", "black"),
}
"""Words whose keys and values the heads are asked to tell apart."""

StopProgress = Callable[[str, int, int], None]
"""Told the stop's name, units done, and in all."""


@dataclass(frozen=True)
class Stop:
    """An instrument of the tour.

    name: of its folder. question: that it answers. rows: of the denoiser, all in all. settings: the instrument. run:
    gives what it finds, told of a folder to keep parts of it in, and of whom to tell how far it is. tell: a sentence or
    two of that. draw: its picture. beside: tries how many seconds it takes beside the denoiser.
    """

    name: str
    question: str
    rows: int
    settings: Any
    run: Callable[[Path | None, Progress | None], Any]
    tell: Callable[[Any], str]
    draw: Callable[[Any], Figure] = field(default=lambda found: found.plot())
    beside: Callable[[], float] = field(default=lambda: 0.0)


@dataclass(frozen=True)
class Shown:
    """A finished stop, in its folder: table.parquet and plot.png. seconds: that it took; skipped: in an earlier run."""

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
        """The file of the picture."""
        return self.folder / PLOT


@dataclass(frozen=True)
class Tour:
    """Where, when and how a model draws a concept of a prompt, by one instrument after the other.

    prompt: what is drawn. concept: words of it. seeds: of the pictures. steps: of DDIM. guidance_scale: w. rows: of the
    denoiser in a call, at most; memory grows with it.
    """

    prompt: str
    concept: str
    seeds: tuple[int, ...] = tuple(range(8))
    steps: int = 20
    guidance_scale: float = 4.0
    rows: int = 256

    def stops(self, model: Model, judge: Judge | None = None) -> list[Stop]:
        """What there is to see. Without a judge that can say whether a picture shows the concept nothing is traced.

        Raises BadArgument for no seed or a prompt that is too long, EmptyConcept for a concept that is not in it.
        """
        if not self.seeds:
            raise BadArgument("There is no seed: give one at least.")
        model.text.check_fits(self.prompt)
        model.text.find(self.prompt, self.concept)
        known = sought(judge, self.concept) if judge else None
        traced = [self._trace(model, where, known, judge) for where in KINDS] if judge and known else []
        return [self._dynamics(model), self._maps(model), self._windows(model, judge, known), *traced, _heads(model)]

    def __call__(
        self, model: Model, folder: Path, *, judge: Judge | None = None, progress: StopProgress | None = None
    ) -> list[Shown]:
        """Go to all stops, and leave what each found in a folder of its name; what is there already is not done again.

        A stop counts as done with the same model, edits, judge and settings only. Raises what `stops` does.
        """
        return [self._visit(stop, model, folder, judge, progress) for stop in self.stops(model, judge)]

    def is_done(self, stop: Stop, model: Model, folder: Path, judge: Judge | None = None) -> bool:
        """Did an earlier run leave what this stop would find?"""
        return _earlier(self._records(stop, model, folder, judge)) is not None

    def _visit(
        self, stop: Stop, model: Model, folder: Path, judge: Judge | None, progress: StopProgress | None
    ) -> Shown:
        records, place = self._records(stop, model, folder, judge), folder / stop.name
        earlier = _earlier(records)
        if earlier is not None:
            discard(place / PARTS)
            return Shown(stop.name, stop.question, earlier["text"], earlier["seconds"], place, skipped=True)
        place.mkdir(parents=True, exist_ok=True)
        for path in place.glob(f"*{RECORDS.suffix}"):  # they are of the files that are replaced now
            path.unlink()
        began = time.monotonic()
        found = stop.run(place / PARTS, (lambda done, total: progress(stop.name, done, total)) if progress else None)
        seconds, text = time.monotonic() - began, stop.tell(found)
        found.save(place / TABLE)
        with write_whole(place / PLOT) as aside:
            stop.draw(found).savefig(aside, format="png", dpi=DPI)
        # Last, so that a stop without it is not finished.
        records.put(STOP, {"text": text, "seconds": seconds, "files": _digests(place)})
        discard(place / PARTS)
        return Shown(stop.name, stop.question, text, seconds, place, skipped=False)

    def _records(self, stop: Stop, model: Model, folder: Path, judge: Judge | None) -> Parts[Any]:
        """Where it is written that a stop is finished: text, seconds, and the SHA-256 of its files."""
        about = {"tour": asdict(self), **about_run(model, stop.settings, judge)}
        return Parts(folder / stop.name, about, RECORDS)

    def _pictures(self) -> tuple[list[str], list[int]]:
        return [self.prompt] * len(self.seeds), list(self.seeds)

    def _plain(self, model: Model) -> int:
        """Rows of the denoiser for the pictures as they are."""
        return self._each(model) * self.steps * len(self.seeds)

    def _each(self, model: Model) -> int:
        """Rows of the denoiser that a picture takes in a step."""
        return rows_in_a_step(model, self.guidance_scale, self.steps)

    def _at_once(self, model: Model) -> int:
        """Pictures in a call of the denoiser."""
        return pictures_at_once(0, self.rows, self._each(model))

    def _dynamics(self, model: Model) -> Stop:
        asked = Dynamics(steps=self.steps, guidance_scale=self.guidance_scale, batch_size=self._at_once(model))
        return Stop(
            "dynamics",
            "How does the picture come into being?",
            self._plain(model),
            asked,
            lambda _, progress: asked(model, *self._pictures(), progress=progress),
            said.dynamics,
        )

    def _maps(self, model: Model) -> Stop:
        words, unread = self._words(model)
        batch = min(Maps.batch_size, self._at_once(model))
        asked = Maps(words=words, steps=self.steps, guidance_scale=self.guidance_scale, batch_size=batch)
        return Stop(
            "maps",
            "Where is each word looked at?",
            self._plain(model),
            asked,
            lambda _, progress: asked(model, *self._pictures(), progress=progress),
            lambda found: said.maps(found, self.concept, unread),
        )

    def _words(self, model: Model) -> tuple[tuple[str, ...], list[str]]:
        """The prompt's words without their punctuation, the concept as one of them; and those without a token."""
        own = {word.lower() for word in words_of(self.concept)}
        each = (self.concept if word.lower() in own else word for word in words_of(self.prompt))
        words = dict.fromkeys([*each, self.concept])
        known = tuple(word for word in words if self._is_read(model, word))
        return known, [word for word in words if word not in known]

    def _is_read(self, model: Model, word: str) -> bool:
        try:
            model.text.find(self.prompt, word)
        except EmptyConcept:
            return False
        return True

    def _windows(self, model: Model, judge: Judge | None, known: Sought | None) -> Stop:
        labels = [site.label for site in model.sites.only(kind="cross-attention", level="module")]
        letters = tuple(f"q{window}:{label}" for label in labels for window in QUARTERS)
        asked = Intervene(letters, steps=self.steps, guidance_scale=self.guidance_scale, rows=self.rows)
        parts = _parts(asked, self._each(model))
        taken = [
            branch_rows(
                model,
                [intervention(model, letter) for letter in part.letters],
                len(self.seeds),
                steps=self.steps,
                guidance_scale=self.guidance_scale,
            )
            for part in parts
        ]
        measure = f"{known.column} kept" if judge and known and judge.columns[known.column].labels else "layout"
        return Stop(
            "windows",
            "Which layers matter, and when?",
            sum(taken),
            asked,
            lambda keep, progress: _joined(
                [
                    part(
                        model,
                        *self._pictures(),
                        judge=judge,
                        keep=keep,
                        progress=_shared(progress, index, len(parts)),
                    )
                    for index, part in enumerate(parts)
                ]
            ),
            lambda found: said.windows(found, measure),
            lambda found: found.plot_grid(measure),
        )

    def _trace(self, model: Model, where: Any, known: Sought, judge: Judge) -> Stop:
        asked = Trace(where, known.column, steps=self.steps, guidance_scale=self.guidance_scale, rows=self.rows)
        restored = len(asked.components(model))
        calls = len(list(batches(1 + restored, runs_at_once(asked.rows, self._each(model)))))
        return Stop(
            f"trace-{where}",
            f"What carries “{self.concept}” through the {'denoiser' if where == 'denoiser' else 'text encoder'}?",
            (calls + 1 + restored) * self._plain(model),
            asked,
            lambda keep, progress: asked(
                model,
                *self._pictures(),
                subject=self.concept,
                judge=judge,
                wanted=known.wanted,
                keep=keep,
                progress=progress,
            ),
            lambda found: said.trace(found, self.concept),
        )


def _parts(asked: Intervene, each: int) -> list[Intervene]:
    """The same by some letters at a time, so that one picture's runs keep to the rows of a call."""
    at_once = runs_at_once(asked.rows, each)
    return [replace(asked, letters=asked.letters[some]) for some in batches(len(asked.letters), at_once)]


def _shared(progress: Progress | None, index: int, parts: int) -> Progress | None:
    """The progress of one of several parts of as many pictures each."""
    if progress is None:
        return None
    return lambda done, total: progress(index * total + done, parts * total)


def _joined(found: Sequence[Interventions]) -> Interventions:
    """What several parts found of the same pictures."""
    first, *others = found
    new = pl.col("letters") != UNTOUCHED
    return replace(
        first,
        table=pl.concat([first.table, *(each.table.filter(new) for each in others)]),
        rows=pl.concat([first.rows, *(each.rows.filter(new) for each in others)]),
        images={name: pictures for each in found for name, pictures in each.images.items()},
    )


def seconds_a_row(model: Model, rows: int) -> float:
    """Seconds that a row of the denoiser takes where `rows` go in one call, by the second of two calls."""
    x, cond = model.noise(range(rows)), model.encode([""]).repeat(rows)
    t, seconds = model.schedule.training_steps // 2, 0.0
    with torch.no_grad():
        for _ in range(2):
            began = time.monotonic()
            model.eps(x, t, cond).sum().item()  # which waits for the device
            seconds = time.monotonic() - began
    return seconds / rows


def _heads(model: Model) -> Stop:
    asked = Heads()
    return Stop(
        "heads",
        "Which heads tell kinds of words apart?",
        0,
        asked,
        lambda _, __: asked(model, GROUPS),
        said.heads,
        beside=lambda: asked.seconds(model, GROUPS),
    )


def _earlier(records: Parts[Any]) -> dict[str, Any] | None:
    """What an earlier run wrote of a stop, unless its table or its picture is not as it left them."""
    record: dict[str, Any] | None = records.get(STOP)
    if record is None or records.folder is None:
        return None
    digests = _digests(records.folder)
    for name, digest in record["files"].items():
        if digests[name] != digest:
            warnings.warn(
                f"{records.folder / name} is missing or damaged: it is computed anew.", DamagedPart, stacklevel=2
            )
            return None
    return record


def _digests(place: Path) -> dict[str, str | None]:
    """The SHA-256 of a stop's files, None for one that is missing."""
    return {name: digest_file(place / name) if (place / name).is_file() else None for name in (TABLE, PLOT)}


TABLE, PLOT, STOP = "table.parquet", "plot.png", "stop"
DPI = 150
