"""`turpentine explain thesis`, `tracing`, `words`: a source's experiments, with its prompts, on any model; one page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.checks import check_folder
from turpentine.cli.help_text import written_as
from turpentine.cli.options import (
    ClipModel,
    Json,
    ModelChoice,
    ModelFlags,
    Rows,
    Seeds,
    check_judge_flag,
    judge_of,
    parse_seeds,
)
from turpentine.cli.progress_bars import Phases
from turpentine.cli.terminal import say, say_json
from turpentine.cli.tour import REPORT, expected_times, fitting, judge_line, show_results, show_times
from turpentine.core.formatting import duration

if TYPE_CHECKING:
    from turpentine.explain.replication import Cost, Replication
    from turpentine.explain.stops import Stop
    from turpentine.explain.tour import StopResult
    from turpentine.judges import Judge
    from turpentine.models import Model

HEADLINES = {
    "thesis": "The thesis's experiments on time, layers and hidden states, with its prompts and letters.",
    "tracing": "Where knowledge is: causal tracing of five concepts or more, and LocoGen's windows of layers.",
    "words": "Where each word of several prompts is looked at, and what attention adds to the picture.",
}
"""What can be replicated, in a sentence each."""


def replicate(source_name: str) -> Callable[..., None]:
    """Return the command that runs a source's experiments."""

    def command(
        *,
        seeds: Seeds = "0-9",
        steps: Annotated[PositiveInt | None, Parameter.combine(written_as(int), Parameter())] = None,
        guidance_scale: float | None = None,
        rows: Rows = None,
        only: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
        by: str | None = None,
        clip_model: ClipModel = None,
        dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
        out: Path | None = None,
        source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
        json: Json = False,
    ) -> None:
        """Run the experiments of a source on a model, all prompts with all seeds; prompts and settings ship.

        A run that was broken off goes on where it was; what is finished is not done again.

        Args:
            seeds: Seeds of each prompt's pictures, such as 0-9.
            steps: Steps of DDIM for a picture; by default the source's, or the docs' for the embedded model.
            guidance_scale: How strongly the prompt guides; 4 by default for the embedded model, 7.5 for others.
            only: Name of an experiment to run alone, as --dry-run lists them; give the flag again for another.
            by: The judge of the pictures, such as emoji or clip, or none; that of the emoji world for the embedded
                model, none for others. Without one nothing is traced.
            dry_run: Say how many rows of the denoiser it takes, how long, and what it would take on Stable Diffusion
                1.4; nothing is written.
            out: The folder for report.html, and for each experiment's table, picture, and what the docs show of it:
                tables.md and figures; explained/NAME by default.
        """
        folder = out or Path("explained") / source_name
        check_folder(folder)
        numbers = tuple(parse_seeds(seeds))
        check_judge_flag(by)
        source.check()
        from turpentine.explain.replication import Replication

        judge, model = judge_of(by, source.model, clip_model), source.load()
        scale = guidance_scale if guidance_scale is not None else 4.0 if model.name.startswith("emoji") else 7.5
        rows = rows or fitting(model)
        chosen = Replication(source_name, numbers, steps, scale, rows, only)
        stops = chosen.stops(model, judge)
        done = {stop.name for stop in stops if chosen.is_done(stop, model, folder, judge)}
        times = expected_times(stops, model, rows, done)
        if not json:
            show_times(stops, times, done)
            say(_cost_line(chosen.cost(model, stops), rows))
        elif dry_run:
            say_json(_expected(stops, times, chosen.cost(model, stops)))
        if not dry_run:
            with Phases({stop.name: (stop.question, "pictures") for stop in stops}) as progress:
                results = chosen(model, folder, judge=judge, progress=progress)
            show_results(results, _write_page(results, chosen, model, judge, folder), json)

    return command


def _expected(stops: list[Stop], times: dict[str, float], cost: Cost) -> dict[str, Any]:
    each = [{"name": stop.name, "rows": stop.rows, "expected": times[stop.name]} for stop in stops]
    sd14 = {"rows": cost.sd14_rows, "hours": round(cost.hours, 2), "gigabytes": round(cost.gigabytes, 1)}
    return {"stops": each, "rows": cost.rows, "sd14": sd14}


def _cost_line(cost: Cost, rows: int) -> str:
    return (
        f"{cost.rows:,} rows of the denoiser here. On Stable Diffusion 1.4, with the prompts and steps for it, about "
        f"{cost.sd14_rows:,}: {duration(3600 * cost.hours)} on one NVIDIA H100 in fp16, and about "
        f"{cost.gigabytes:.0f} GB at {rows} rows a call, less with fewer --rows.\n"
    )


def _write_page(
    results: list[StopResult], chosen: Replication, model: Model, judge: Judge | None, folder: Path
) -> Path:
    from turpentine.explain.replication import plan_of
    from turpentine.report.tour_page import MANY_PROMPTS, write_stops_page

    its = plan_of(chosen.source)
    facts = {
        "model": model.name,
        "prompts": "; ".join(subject.prompt for subject in chosen.subjects(model)),
        "seeds": ", ".join(map(str, chosen.seeds)),
        "drawing": f"{chosen.steps_on(model)} steps of DDIM, guidance {chosen.guidance_scale:g}",
        "judge": judge_line(judge, any(stop.name.startswith("trace") for stop in results)),
        "device": f"{model.device}, {str(model.dtype).removeprefix('torch.')}",
        "time": duration(sum(stop.seconds for stop in results)),
    }
    line = shlex.join(["turpentine", *sys.argv[1:]])
    page = folder / REPORT
    return write_stops_page(
        results, page, title=its.title, lead=f"{its.about}.", note=MANY_PROMPTS, facts=facts, command=line
    )
