"""`turpentine explain PROMPT --concept WORDS`: every instrument in turn, and one page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from turpentine.cli.checks import check_folder, check_words
from turpentine.cli.options import (
    ClipModel,
    Drawing,
    DrawingFlags,
    Force,
    Json,
    ModelChoice,
    ModelFlags,
    Rows,
    check_judge_flag,
    judge_of,
    parse_seeds,
    warn_of_unknown_words,
)
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import plain, say, say_json, show_table, warn
from turpentine.core.formatting import duration
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from turpentine.explain.stops import Stop
    from turpentine.explain.tour import StopResult, Tour
    from turpentine.judges import Judge
    from turpentine.models import Model

REPORT = "report.html"


def tour(
    prompt: str,
    /,
    *,
    concept: str,
    seeds: str = "0-7",
    drawing: Annotated[Drawing, DrawingFlags] = Drawing(),
    rows: Rows = None,
    by: str | None = None,
    clip_model: ClipModel = None,
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    out: Path | None = None,
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    force: Force = False,
    json: Json = False,
) -> None:
    """Explain one prompt: how its picture comes into being, where words are looked at, what carries the concept.

    A run that was broken off goes on where it was; what is finished is not done again.

    Args:
        prompt: What to draw, such as "a church in noto style".
        concept: Words of the prompt that the question is about.
        seeds: Seeds of the pictures, such as 0-7.
        by: The judge that says whether the concept is in a picture, such as emoji or clip, or none; that of the emoji
            world for the embedded model, none for others. Without one nothing is traced.
        clip_model: The CLIP model that the judge asks, a folder or hub id; by default the one that suits the model.
        dry_run: Say how long each instrument may take; nothing is written.
        out: The folder for report.html, and for each instrument's table and picture; explained/CONCEPT by default.
        force: Take words that the model does not know.

    Example:
        turpentine explain "a church in noto style" --concept church
    """
    folder = out or Path("explained") / safe_name(concept)
    check_folder(folder)
    numbers = tuple(parse_seeds(seeds))
    check_judge_flag(by)
    source.check()
    check_words([concept], source.model, force=force)
    from turpentine.explain.tour import Tour

    judge = judge_of(by, source.model, clip_model)
    model = source.load()
    rows = rows or fitting(model)
    chosen = Tour(prompt, concept, numbers, drawing.steps, drawing.guidance_scale, rows)
    stops = chosen.stops(model, judge)
    warn_of_unknown_words(model, [prompt])
    done = {stop.name for stop in stops if chosen.is_done(stop, model, folder, judge)}
    times = expected_times(stops, model, rows, done)
    if not json:
        show_times(stops, times, done)
    if dry_run:
        if json:
            say_json({"stops": [{"name": name, "expected": seconds} for name, seconds in times.items()]})
        return
    with Phases({stop.name: (stop.question, "pictures") for stop in stops}) as progress:
        results = chosen(model, folder, judge=judge, progress=progress)
    show_results(results, _write_page(results, chosen, model, judge, folder), json)


def fitting(model: Model) -> int:
    """Return how many rows of a model's denoiser fit into one call, and say so where that is not as many as ever."""
    from turpentine.models.row_memory import MOST, fitting_rows

    rows = fitting_rows(model)
    if rows < MOST:
        warn(f"Memory is short: {rows} rows of the denoiser go into one call, and not {MOST}; --rows says otherwise.")
    return rows


def expected_times(stops: list[Stop], model: Model, rows: int, done: Collection[str]) -> dict[str, float]:
    """Return the seconds that each instrument may take; 0 for those that are done."""
    from turpentine.models.speed import seconds_a_row

    if all(stop.name in done for stop in stops):
        return dict.fromkeys(done, 0.0)
    with busy("Trying how long it takes"):
        each = seconds_a_row(model, min(rows, 64))
        return {stop.name: 0.0 if stop.name in done else round(stop.rows * each + stop.overhead(), 1) for stop in stops}


def show_times(stops: list[Stop], times: dict[str, float], done: Collection[str]) -> None:
    """Print how long each instrument may take, before it runs."""
    show_table(
        ("instrument", "question", "may take"),
        [
            (stop.name, stop.question, "done before" if stop.name in done else duration(times[stop.name]))
            for stop in stops
        ],
    )
    say(f"\nIn all about {duration(sum(times.values()))}.\n")


def _write_page(results: list[StopResult], chosen: Tour, model: Model, judge: Judge | None, folder: Path) -> Path:
    from turpentine.report.tour_page import ONE_PROMPT, write_stops_page

    facts = {
        "model": model.name,
        "prompt": chosen.prompt,
        "concept": chosen.concept,
        "seeds": ", ".join(map(str, chosen.seeds)),
        "drawing": f"{chosen.steps} steps of DDIM, guidance {chosen.guidance_scale:g}",
        "judge": judge_line(judge, any(stop.name.startswith("trace") for stop in results)),
        "device": f"{model.device}, {str(model.dtype).removeprefix('torch.')}",
        "time": duration(sum(stop.seconds for stop in results)),
    }
    line = shlex.join(["turpentine", *sys.argv[1:]])
    lead = f"Where, when and how the model draws it, told “{chosen.prompt}”."
    return write_stops_page(
        results, folder / REPORT, title=chosen.concept, lead=lead, note=ONE_PROMPT, facts=facts, command=line
    )


def judge_line(judge: Judge | None, is_traced: bool) -> str:
    """Return which judge looked at the pictures, and whether anything was traced by it."""
    from turpentine.judges.worlds import title_of

    if judge is None:
        return "none: nothing is traced"
    name = f"{title_of(judge.name, judge.settings)}, revision {judge.revision}"
    return name if is_traced else f"{name}, which does not know the concept: nothing is traced"


def show_results(results: list[StopResult], page: Path, as_json: bool) -> None:
    """Print what each stop found, and where the page is."""
    if as_json:
        stops = [{"name": stop.name, "text": stop.text, "table": str(stop.table)} for stop in results]
        say_json({"stops": stops, "files": [str(page)]})
        return
    for stop in results:
        say(f"{plain(stop.question)}{' (done before)' if stop.skipped else ''}\n  {plain(stop.text)}\n")
    say(plain(str(page)))
