"""A search as the harness gives it to an attack, for tests that look at its stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from PIL import Image

from turpentine.attack._stages import SearchStage
from turpentine.attack.budget import Budget, ConceptJudge, Meter
from turpentine.attack.harness import Attack
from turpentine.attack.search import Search
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.models import Model
from turpentine.testing.contracts.attack import CoinJudge

QUICK = Trial(steps=2, pictures=2, curve_pictures=1)
SEED = 7
NEVER = ConceptJudge(CoinJudge(), "object", "neither")
"""A judge that sees the concept in no picture."""


class AlwaysSeen(CoinJudge):
    """A judge that sees a church in every picture."""

    def __call__(self, images: Sequence[Image.Image], **beside: Any) -> Any:
        import polars as pl

        return pl.DataFrame({"object": ["church"] * len(images)})


class SetJudge(CoinJudge):
    """Sees the concept in given pictures alone."""

    seen: ClassVar[set[bytes]] = set()

    def __call__(self, images: Sequence[Image.Image], **beside: Any) -> Any:
        import polars as pl

        labels = ["church" if image.tobytes() in self.seen else "dog" for image in images]
        return pl.DataFrame({"object": labels}, schema={"object": pl.String})


ALWAYS = ConceptJudge(AlwaysSeen(), "object", "church")


def references(model: Model) -> list[Image.Image]:
    return list(model.generate("a church", seeds=[0, 1], steps=2))


def search_of(model: Model, *changes: Any, shows: ConceptJudge = NEVER, budget: Budget | None = None) -> Search:
    victim, original = Victim(model, changes), Victim(model)
    meter = Meter(budget or Budget())
    return Search(
        victim, Concept("church"), original, references(model), shows, QUICK, meter, SEED, lambda done, total: None
    )


def stages_of(attack: Attack, search: Search) -> list[SearchStage]:
    """Return the stages of a whole search, counted."""
    with search.meter.counting(search.victim.model):
        return list(attack.search(search, None))
