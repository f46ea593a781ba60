"""Attack what is on the stack, now and within a budget, beside the controls without which a rate says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turpentine.attack import Budget, Controls, Trial, Victim, battery
from turpentine.attack.controls import EDITED, NO_ATTACK, Battery
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import with_span
from turpentine.core.plugins import find, plugins
from turpentine.core.safe_text import safe_name
from turpentine.core.suggest import offer
from turpentine.judges import Judge
from turpentine.report.attack_page import NO_POWER, write_attack_page
from turpentine.report.pictures import data_uri
from turpentine.studio.erasing import concept_of
from turpentine.studio.state import PageState

WITHOUT: frozenset[str] = frozenset({"prompt-list"})
"""Attacks that need a file, for which the command is."""
ARMS: Mapping[str, str] = {
    "edited": "the model with the stack",
    "original": "the model without it",
    "only hidden": "only the word hidden, nothing erased",
}


def attack_names() -> list[str]:
    """Return the attacks that the page offers, those that cost little first."""
    names = [name for name in plugins("attack") if name not in WITHOUT]
    return sorted(names, key=lambda name: (not getattr(find(name, "attack").load(), "free", False), name))


def attack(victim: Victim, state: PageState, judge: Judge | None, folder: Path) -> dict[str, Any]:
    """Try to bring a concept back, and say how often it shows beside the controls.

    Args:
        victim: The model with the stack.
        state: Whose attack, budget and concept they are.
        judge: Says whether a picture shows the concept.
        folder: Of finished parts, and of the page.

    Raises:
        BadArgument: There is nobody to judge, no such attack, or the budget does not reach.
        AbsentConcept: The model does not draw the concept.
    """
    concept = concept_of(state)
    if judge is None:
        raise BadArgument("There is no judge of this model's pictures: start the studio with --by, such as --by clip.")
    if state.attack not in attack_names():
        raise BadArgument(f"The studio has no attack {state.attack!r}: {offer(state.attack, attack_names())}")
    trial = trial_of(state)
    result = battery(
        [find(state.attack, "attack").defaults()],
        victim,
        concept,
        original=Victim(victim.model),
        judge=judge,
        controls=Controls(),
        budget=Budget(forward=state.budget),
        trial=trial,
        seed=state.seed,
        cache=folder / "parts",
    )
    page = write_attack_page(
        result,
        folder / f"{safe_name(f'{concept.text}-{state.attack}')}.html",
        concept=concept.text,
        facts={"model": victim.model.name, "judge": judge.name, "budget": f"{state.budget} rows a search"},
    )
    return {**_facts(result, state.attack), "concept": concept.text, "report": str(page)}


def trial_of(state: PageState) -> Trial:
    """Return how an attack's pictures are drawn."""
    count = state.pictures
    return Trial(pictures=count, curve_pictures=min(4, count), batch_size=min(8, count), **state.drawing())


def attack_rows(state: PageState) -> int:
    """Return how many rows of the denoiser that takes at most: arms are searched, drawn on the way, and drawn anew."""
    return len(ARMS) * (2 * state.budget + 2 * 2 * state.steps * state.pictures)


def _facts(result: Battery, name: str) -> dict[str, Any]:
    outcome = result.outcomes[name, EDITED]
    pairs = zip(outcome.pictures, outcome.outcomes, strict=True)
    return {
        "attack": name,
        "summary": outcome.summary(),
        "power": "" if result.has_power(name) is not False else NO_POWER,
        "rates": [
            {"arm": arm, "what": what, "plain": _rate(result, NO_ATTACK, arm), "attacked": _rate(result, name, arm)}
            for arm, what in ARMS.items()
        ],
        "pictures": [{"uri": data_uri(image), "hit": bool(hit)} for image, hit in pairs],
    }


def _rate(result: Battery, attack: str, arm: str) -> str:
    rate = result.rate(attack, arm)
    return "–" if rate is None else f"{with_span(rate)} %"
