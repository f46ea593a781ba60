"""What an attack's search has to work with, and what an attack may need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from turpentine.attack._pictures import pictures_of
from turpentine.attack.budget import ConceptJudge, Meter
from turpentine.attack.trial import Trial
from turpentine.concepts import Concept
from turpentine.core.progress import Progress

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack.victim import Victim
    from turpentine.models import Artefact

Need = Literal["text encoder", "weights", "original", "references", "judge"]
"""What an attack cannot do without."""


@dataclass(frozen=True, eq=False)
class Search:
    """What a search has to work with.

    Args:
        victim: What is attacked; its changes are on its model only inside of `victim.on()`.
        concept: What is to come back.
        original: The model without the erasure, None where there is none.
        references: Pictures of the concept.
        shows: The judge, of the concept. Use `judged`, which counts.
        trial: How pictures are drawn.
        meter: What was spent and what may be.
        seed: Of all chance.
        advance: Report work: `advance(done, total)`.
    """

    victim: Victim
    concept: Concept
    original: Victim | None
    references: Sequence[Image.Image]
    shows: ConceptJudge
    trial: Trial
    meter: Meter
    seed: int
    advance: Progress

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts that name the concept."""
        return self.concept.prompts

    def draw(self, artefact: Artefact, seeds: Sequence[int], victim: Victim | None = None) -> list[Image.Image]:
        """Return pictures of an artefact, the nth of its nth prompt (in turns) and the nth seed."""
        return pictures_of(victim or self.victim, artefact, seeds, self.trial)

    def judged(self, images: Sequence[Image.Image]) -> list[bool]:
        """Return for each picture whether the concept is in it, counted as the search's own look at a judge.

        Raises:
            BudgetSpent: There would be more looks than the budget has.
        """
        self.meter.add(judged=len(images))
        outcomes = self.shows(images)
        self.meter.outcomes += outcomes
        return outcomes
