"""`turpentine explain PROMPT --concept WORDS`: every instrument in turn, and one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from turpentine.cli.checks import check_words
from turpentine.cli.options import (
    Drawing,
    DrawingFlags,
    Flat,
    Force,
    Json,
    ModelChoice,
    ModelFlags,
    parse_seeds,
    warn_of_unknown_words,
)
from turpentine.cli.terminal import say_json
from turpentine.cli.visits import VisitChoice, VisitPlan, show_results
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from pathlib import Path

    from turpentine.explain.tour import StopResult, Tour


def tour(
    prompt: str,
    /,
    *,
    concept: str,
    seeds: str = "0-7",
    drawing: Annotated[Drawing, DrawingFlags] = Drawing(),
    choice: Annotated[VisitChoice, Flat] = VisitChoice(),
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
        choice: How the instruments are run.
        force: Take words that the model does not know.

    Example:
        turpentine explain "a church in noto style" --concept church
    """
    folder = choice.check(safe_name(concept))
    numbers = tuple(parse_seeds(seeds))
    source.check()
    check_words([concept], source.model, force=force)
    from turpentine.explain.tour import Tour

    judge = choice.judge(source.model)
    model = source.load()
    rows = choice.rows_on(model, folder)
    chosen = Tour(prompt, concept, numbers, drawing.steps, drawing.guidance_scale, rows)
    plan = VisitPlan(chosen, model, judge, folder)
    _ = plan.stops  # what is wrong with the prompt is an error before it is a warning
    warn_of_unknown_words(model, [prompt])
    times = plan.expected(rows)
    if not json:
        plan.show(times)
    elif choice.dry_run:
        say_json({"stops": [{"name": name, "expected": seconds} for name, seconds in times.items()]})
    if not choice.dry_run:
        results = plan.run()
        show_results(results, _write_page(plan, chosen, results), json)


def _write_page(plan: VisitPlan, chosen: Tour, results: list[StopResult]) -> Path:
    from turpentine.models.drawing_defaults import drawing_of
    from turpentine.report.tour_page import ONE_PROMPT

    return plan.write_page(
        results,
        {"prompt": chosen.prompt, "concept": chosen.concept},
        drawing_of(chosen, plan.model)["steps"],
        title=chosen.concept,
        lead=f"Where, when and how the model draws it, told “{chosen.prompt}”.",
        note=ONE_PROMPT,
    )
