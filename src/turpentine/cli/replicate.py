"""`turpentine explain thesis`, `tracing`, `words`: a source's experiments, with its prompts, on any model; one page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.help_text import written_as
from turpentine.cli.options import Flat, Json, ModelChoice, ModelFlags, Seeds, parse_seeds
from turpentine.cli.terminal import say, say_json
from turpentine.cli.visits import VisitChoice, VisitPlan, show_results
from turpentine.core.formatting import duration

if TYPE_CHECKING:
    from pathlib import Path

    from turpentine.explain.replication import Cost, Replication
    from turpentine.explain.stops import Stop
    from turpentine.explain.tour import StopResult

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
        only: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
        choice: Annotated[VisitChoice, Flat] = VisitChoice(),
        source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
        json: Json = False,
    ) -> None:
        """Run the experiments of a source on a model, all prompts with all seeds; prompts and settings ship.

        A run that was broken off goes on where it was; what is finished is not done again.

        Args:
            seeds: Seeds of each prompt's pictures, such as 0-9.
            steps: Steps of DDIM for a picture; by default the source's, or the docs' for the embedded model.
            guidance_scale: How strongly the prompt guides; by default as its family has it, 4 in the emoji world.
            only: Name of an experiment to run alone, as --dry-run lists them; give the flag again for another.
            choice: How the experiments are run.
        """
        folder = choice.check(source_name)
        numbers = tuple(parse_seeds(seeds))
        source.check()
        from turpentine.explain.replication import Replication

        judge, model = choice.judge(source.model), source.load()
        rows = choice.rows_on(model, folder)
        chosen = Replication(source_name, numbers, steps, guidance_scale, rows, only)
        plan = VisitPlan(chosen, model, judge, folder)
        times, cost = plan.expected(rows), chosen.cost(model, plan.stops)
        if not json:
            plan.show(times)
            say(_cost_line(cost, rows))
        elif choice.dry_run:
            say_json(_expected(plan.stops, times, cost))
        if not choice.dry_run:
            results = plan.run()
            show_results(results, _write_page(plan, chosen, results), json)

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


def _write_page(plan: VisitPlan, chosen: Replication, results: list[StopResult]) -> Path:
    from turpentine.explain.replication import plan_of
    from turpentine.report.tour_page import MANY_PROMPTS

    its = plan_of(chosen.source)
    return plan.write_page(
        results,
        {"prompts": "; ".join(subject.prompt for subject in chosen.subjects(plan.model))},
        chosen.steps_on(plan.model),
        title=its.title,
        lead=f"{its.about}.",
        note=MANY_PROMPTS,
    )
