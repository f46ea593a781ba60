"""What a tour and a replication have in common: their flags, how long each stop may take, the run, and the page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from turpentine.cli.checks import check_folder
from turpentine.cli.help_text import with_help
from turpentine.cli.options import ClipModel, Rows, check_judge_flag, judge_of
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.stored_rows import stored_rows
from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table
from turpentine.core.formatting import duration

if TYPE_CHECKING:
    from turpentine.explain.replication import Replication
    from turpentine.explain.stops import Stop
    from turpentine.explain.tour import StopResult, Tour
    from turpentine.judges import Judge
    from turpentine.models import Model

REPORT = "report.html"


@with_help
@dataclass(frozen=True)
class VisitChoice:
    """How stops are run, who judges, and where it is written.

    Args:
        by: The judge that says whether a concept is in a picture, such as emoji or clip, or none; that of the emoji
            world for the models that ship, none for others. Without one nothing is traced.
        dry_run: Say how long each stop may take, and of a source what it would take on Stable Diffusion 1.4; nothing
            is written.
        out: The folder for report.html, and for each stop's table and picture, and of a source also tables.md and
            figures, which the docs show; explained/NAME by default.
    """

    rows: Rows = None
    by: str | None = None
    clip_model: ClipModel = None
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    out: Path | None = None

    def check(self, name: str) -> Path:
        """Check what can be checked before torch is imported, and return the folder.

        Args:
            name: Of the folder in explained/, where no other one is named.

        Raises:
            BadArgument: There can be no such folder.
            UnknownName: No judge is called so.
        """
        folder = self.out or Path("explained") / name
        check_folder(folder)
        check_judge_flag(self.by)
        return folder

    def judge(self, model: str) -> Judge | None:
        """Return the judge of the pictures of a model of this name, or none."""
        return judge_of(self.by, model, self.clip_model)

    def rows_on(self, model: Model, folder: Path) -> int:
        """Return how many rows of the denoiser go into a call: what is given, or what fits; see `stored_rows`."""
        return self.rows or stored_rows(model, folder, store=not self.dry_run)


@dataclass(frozen=True)
class VisitPlan:
    """A tour or a replication on a model.

    Args:
        visits: Which of the two, with its settings.
        model: The model.
        judge: Of its pictures.
        folder: Of the page, and of the stops' folders.
    """

    visits: Tour | Replication
    model: Model
    judge: Judge | None
    folder: Path

    @cached_property
    def stops(self) -> list[Stop]:
        """All stops, in order."""
        return self.visits.stops(self.model, self.judge)

    @cached_property
    def done(self) -> set[str]:
        """Names of the stops that an earlier run finished."""
        return {stop.name for stop in self.stops if self.visits.is_done(stop, self.model, self.folder, self.judge)}

    def expected(self, rows: int) -> dict[str, float]:
        """Return the seconds that each stop may take, `rows` of the denoiser in a call; 0 for those that are done."""
        from turpentine.models.speed import seconds_a_row

        left = [stop for stop in self.stops if stop.name not in self.done]
        if not left:
            return {stop.name: 0.0 for stop in self.stops}
        with busy("Trying how long it takes"):
            each = seconds_a_row(self.model, min(rows, 64))
            seconds = {stop.name: round(stop.rows * each + stop.overhead(), 1) for stop in left}
        return {stop.name: seconds.get(stop.name, 0.0) for stop in self.stops}

    def show(self, times: Mapping[str, float]) -> None:
        """Print how long each stop may take, before it runs."""
        spans = {name: "done before" if name in self.done else duration(seconds) for name, seconds in times.items()}
        rows = [(stop.name, stop.question, spans[stop.name]) for stop in self.stops]
        show_table(("instrument", "question", "may take"), rows)
        say(f"\nIn all about {duration(sum(times.values()))}.\n")

    def run(self) -> list[StopResult]:
        """Run the stops that are not done, and return the results of all."""
        with Phases({stop.name: (stop.question, "pictures") for stop in self.stops}) as progress:
            return self.visits(self.model, self.folder, judge=self.judge, progress=progress)

    def write_page(
        self, results: list[StopResult], what: Mapping[str, str], steps: int, *, title: str, lead: str, note: str
    ) -> Path:
        """Write the page of the results.

        Args:
            results: Of the stops.
            what: What was drawn, by name.
            steps: Of a picture.
            title: What is explained.
            lead: What was done, in a sentence.
            note: What its intervals are over.

        Returns:
            Its file.
        """
        from turpentine.models import steps_and_guidance
        from turpentine.report.tour_page import write_stops_page

        _, scale = steps_and_guidance(self.model, steps, self.visits.guidance_scale)
        facts = {
            "model": self.model.name,
            **what,
            "seeds": ", ".join(map(str, self.visits.seeds)),
            "drawing": f"{steps} steps of DDIM, guidance {scale:g}",
            "judge": _judge_line(self.judge, any(stop.name.startswith("trace") for stop in results)),
            "device": f"{self.model.device}, {str(self.model.dtype).removeprefix('torch.')}",
            "time": duration(sum(stop.seconds for stop in results)),
        }
        line = shlex.join(["turpentine", *sys.argv[1:]])
        return write_stops_page(
            results, self.folder / REPORT, title=title, lead=lead, note=note, facts=facts, command=line
        )


def _judge_line(judge: Judge | None, is_traced: bool) -> str:
    """Return which judge looked at the pictures, and whether anything was traced by it."""
    from turpentine.judges.worlds import title_of

    if judge is None:
        return "none: nothing is traced"
    name = f"{title_of(judge.name, judge.settings)}, revision {judge.revision}"
    return name if is_traced else f"{name}, which does not know the concept: nothing is traced"


def show_results(results: list[StopResult], page: Path, as_json: bool) -> None:
    """Print what each stop has to say, and where the page is."""
    if as_json:
        stops = [{"name": stop.name, "text": stop.text, "table": str(stop.table)} for stop in results]
        say_json({"stops": stops, "files": [str(page)]})
        return
    for stop in results:
        say(f"{plain(stop.question)}{' (done before)' if stop.skipped else ''}")
        say_prose(f"{plain(stop.text)}\n", indent=2)
    say(plain(str(page)))
