"""What attacks that try prompts share: each candidate is drawn and judged, and the one with the most hits wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import one_line

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.search import Search
    from turpentine.models import Artefact

SEARCH_SEEDS = 0
"""Where the seeds of a search's pictures begin."""


def try_prompts(
    search: Search, candidates: Iterable[Artefact], pictures: int, total: int, begun: int = 0
) -> Iterator[SearchStage]:
    """Draw and judge candidates in turn, and yield a stage after each: the best until then, with its hits.

    Args:
        search: What there is to work with.
        candidates: What may be tried, in order, the same at each call.
        pictures: Of each candidate.
        total: How many candidates there are.
        begun: How many were tried before, by a run that was broken off: their hits are in the search's tries.
    """
    from turpentine.attack._stages import SearchStage

    best: tuple[int, Artefact] | None = None
    for number, candidate in enumerate(candidates):
        if number < begun:
            outcomes = search.meter.outcomes[number * pictures : (number + 1) * pictures]
        elif not search.meter.affords(judged=pictures):
            return
        else:
            seeds = range(SEARCH_SEEDS + number * pictures, SEARCH_SEEDS + (number + 1) * pictures)
            outcomes = search.judged(search.draw(candidate, seeds))
        if best is None or sum(outcomes) > best[0]:
            best = sum(outcomes), candidate
        if number >= begun:
            search.advance(number + 1, total)
            yield SearchStage(best[1], measurements={"hits in the search": best[0], "candidates": number + 1})


def begun_of(search: Search, pictures: int) -> int:
    """Return how many candidates were tried by a run that was broken off."""
    return len(search.meter.outcomes) // pictures


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file that hold something, without those that begin with #.

    Raises:
        BadArgument: It cannot be read, or holds none.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"{one_line(str(path))} cannot be read as a list of words: {error}.") from error
    texts = [line for line in lines if line and not line.startswith("#")]
    if not texts:
        raise BadArgument(f"{one_line(str(path))} holds no line: write one text a line.")
    return texts


def as_prompts(texts: Sequence[str]) -> list[Artefact]:
    """Return texts that stand for a concept as candidates, each once."""
    from turpentine.models import Artefact

    return [Artefact((text,)) for text in dict.fromkeys(texts) if text.strip()]
