"""`turpentine explain PROMPT --concept WORDS`: every instrument in turn, and one page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.meter import Phases, busy
from turpentine.cli.options import Flat, Json, ModelChoice, parse_seeds, warn_of_unknown_words
from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.errors import BadArgument
from turpentine.files import safe_name
from turpentine.numbers import duration

if TYPE_CHECKING:
    from turpentine.explain import Shown, Tour
    from turpentine.explain.tour import Stop
    from turpentine.judges import Judge
    from turpentine.models import Model

REPORT = "report.html"


def tour(
    prompt: str,
    /,
    *,
    concept: str,
    seeds: str = "0-7",
    steps: PositiveInt = 20,
    guidance_scale: float = 4.0,
    rows: PositiveInt = 256,
    by: str | None = None,
    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    out: Path | None = None,
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Explain one prompt: how its picture comes into being, where words are looked at, what carries the concept.

    A run that was broken off goes on where it was; what is finished is not done again.

    prompt: what to draw, such as "a church in noto style".
    concept: words of the prompt.
    seeds: of the pictures, such as 0-7.
    steps: of the solver.
    guidance_scale: how strongly the prompt guides.
    rows: of the denoiser in one call, at most; fewer take less memory.
    by: the judge that says whether the concept is in a picture, such as clip; that of the emoji world for the embedded
        model, none for others. Without one nothing is traced.
    dry_run: say how long each instrument may take; nothing is written.
    out: the folder for report.html, and for each instrument's table and picture; explained/CONCEPT by default.
    json: print one JSON document.
    """
    from turpentine import judges
    from turpentine.explain import Tour

    folder = out or Path("explained") / safe_name(concept)
    if folder.exists() and not folder.is_dir():
        raise BadArgument(f"{folder} is a file: choose another folder with --out.")
    asked = Tour(prompt, concept, tuple(parse_seeds(seeds)), steps, guidance_scale, rows)
    name = by or ("emoji" if source.model == "emoji" else None)
    judge = judges.judge(name) if name else None
    model = source.load()
    warn_of_unknown_words(model, [prompt])
    stops = asked.stops(model, judge)
    _tell_times(stops, model, rows, json and not dry_run)
    if dry_run:
        return
    with Phases({stop.name: (stop.question, "pictures") for stop in stops}) as progress:
        found = asked(model, folder, judge=judge, progress=progress)
    _tell(found, _page(found, asked, model, judge, folder), json)


def _tell_times(stops: list[Stop], model: Model, rows: int, is_quiet: bool) -> None:
    """How long each instrument may take, before it does."""
    if is_quiet:
        return
    from turpentine.explain.tour import seconds_a_row

    with busy("Trying how long it takes"):
        each = seconds_a_row(model, min(rows, 64))
    show_table(
        ("instrument", "question", "may take"),
        [(stop.name, stop.question, duration(stop.rows * each)) for stop in stops],
    )
    say(f"\nIn all about {duration(sum(stop.rows for stop in stops) * each)}.\n")


def _page(found: list[Shown], asked: Tour, model: Model, judge: Judge | None, folder: Path) -> Path:
    from turpentine.report.explained import write_explained

    facts = {
        "model": model.name,
        "prompt": asked.prompt,
        "concept": asked.concept,
        "seeds": ", ".join(map(str, asked.seeds)),
        "drawing": f"{asked.steps} steps of DDIM, guidance {asked.guidance_scale:g}",
        "judge": f"{judge.name} ({judge.revision})" if judge else "none: nothing is traced",
        "device": f"{model.device}, {str(model.dtype).removeprefix('torch.')}",
        "time": duration(sum(stop.seconds for stop in found)),
    }
    line = shlex.join(["turpentine", *sys.argv[1:]])
    return write_explained(
        found, folder / REPORT, prompt=asked.prompt, concept=asked.concept, facts=facts, command=line
    )


def _tell(found: list[Shown], page: Path, as_json: bool) -> None:
    if as_json:
        stops = [{"name": stop.name, "text": stop.text, "table": str(stop.table)} for stop in found]
        say_json({"stops": stops, "files": [str(page)]})
        return
    for stop in found:
        say(f"{plain(stop.question)}{' (done before)' if stop.skipped else ''}\n  {plain(stop.text)}\n")
    say(plain(str(page)))
