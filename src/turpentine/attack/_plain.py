"""Plain pictures of a concept: what no attack brings, and pictures of it that the original draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.attack._pictures import NEW_SEEDS, judged_once, pictures_of, rate_over_prompts
from turpentine.core.errors import AbsentConcept, BadArgument
from turpentine.models import Artefact
from turpentine.stats.intervals import Rate

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack.budget import ConceptJudge
    from turpentine.attack.trial import Trial
    from turpentine.attack.victim import Victim
    from turpentine.concepts import Concept

REFERENCES = 25
"""Pictures that the original draws where none of the concept are given."""


def plain_rate(victim: Victim, concept: Concept, shows: ConceptJudge, trial: Trial, cache: Path | None) -> Rate:
    """Return how often new pictures of the concept's own prompts show it, with an interval over these prompts.

    Args:
        victim: What draws them.
        concept: Whose prompts are drawn.
        shows: The judge, of the concept.
        trial: How pictures are drawn, and how many.
        cache: The folder for finished parts; None stores nothing.
    """
    _, outcomes = plain_pictures(victim, concept, shows, trial, cache)
    return rate_over_prompts(outcomes, concept.prompts)


def plain_pictures(
    victim: Victim, concept: Concept, shows: ConceptJudge, trial: Trial, cache: Path | None
) -> tuple[list[Image.Image], list[bool]]:
    """Return new pictures of the concept's own prompts, and whether each shows it; see `plain_rate`."""
    return _judged_pictures(victim, concept, shows, trial, range(NEW_SEEDS, NEW_SEEDS + trial.pictures), cache)


def check_original(rate: Rate, original: Victim, concept: Concept, trial: Trial) -> None:
    """Check that the original draws the concept.

    Args:
        rate: Of its plain pictures.
        original: The model without the erasure.
        concept: What is to come back.
        trial: The least rate.

    Raises:
        AbsentConcept: Less often than the trial asks for.
    """
    if rate.value < trial.original_rate:
        raise AbsentConcept(
            f"{original.model.name} itself draws {concept.text!r} in {rate.hits} of {rate.n} pictures: there is "
            "nothing to bring back; name another concept, or another judge."
        )


def references_of(
    original: Victim, concept: Concept, shows: ConceptJudge, trial: Trial, cache: Path | None
) -> list[Image.Image]:
    """Return pictures of a concept that the original draws, those in which the judge sees it.

    Args:
        original: The model without the erasure.
        concept: Whose prompts are drawn.
        shows: The judge, of the concept.
        trial: How pictures are drawn.
        cache: The folder for finished parts; None stores nothing.

    Raises:
        BadArgument: There is none.
    """
    seeds = range(2 * NEW_SEEDS, 2 * NEW_SEEDS + REFERENCES)
    pictures, outcomes = _judged_pictures(original, concept, shows, trial, seeds, cache)
    seen = [picture for picture, hit in zip(pictures, outcomes, strict=True) if hit]
    if not seen:
        raise BadArgument(f"The original draws no {concept.text!r} in {REFERENCES} pictures: give pictures of it.")
    return seen


def _judged_pictures(
    victim: Victim, concept: Concept, shows: ConceptJudge, trial: Trial, seeds: Sequence[int], cache: Path | None
) -> tuple[list[Image.Image], list[bool]]:
    about = ["plain pictures", victim.facts(), asdict(concept), shows.facts(), trial.drawing, list(seeds)]
    plain = Artefact(concept.prompts)
    return judged_once(cache, about, lambda: pictures_of(victim, plain, seeds, trial), shows)
