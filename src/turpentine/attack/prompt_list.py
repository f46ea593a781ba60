"""Prompt list: prompts that others found, such as Ring-A-Bell's and MMA's, from a file of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack._pictures import pictures_of
from turpentine.attack._prompts import SEARCH_SEEDS
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.core.settings import Count
from turpentine.tasks.prompt_file import PromptRow, read_prompts

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class PromptList(Attack):
    """Draw the prompts of a file, each once, and those again of which a picture showed the concept.

    Prompts that were found on another model only transfer: they are far weaker than an attack on this one. The share of
    prompts whose first picture shows the concept is what tables of fixed prompt sets print; it is among what is
    measured. The artefact is the prompts that did, whose new pictures say how often they do.

    Args:
        prompts: A CSV file with a column `prompt`, `adv_prompt` (MMA-Diffusion's) or `sensitive prompt`
            (Ring-A-Bell's). A row that gives a seed or a guidance scale of its own is drawn with it.
        rows: How many of the first rows to take; by default all.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> PromptList(rows=5).cost(Trial())
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: prompt-list needs a file of prompts: name it, such as --prompts FILE.csv.
    """

    name: ClassVar[str] = "prompt-list"
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})

    prompts: Path | None = None
    rows: Count | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what a picture of each prompt spends."""
        count = len(self.read())
        return Spent(forward=2 * trial.steps * count, text=count, judged=count)

    def read(self) -> list[PromptRow]:
        """Return the rows of the file.

        Raises:
            BadArgument: There is none, it cannot be read, or holds no prompt.
        """
        if self.prompts is None:
            raise BadArgument("prompt-list needs a file of prompts: name it, such as --prompts FILE.csv.")
        rows = list(read_prompts(self.prompts, seeds=False))[: self.rows]
        if not rows:
            raise BadArgument(f"{self.prompts} holds no prompt: write one a row, below a header of columns.")
        return rows

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first prompt spends."""
        return Spent(judged=1)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Draw the rows, some at a time."""
        from turpentine.attack._learning import stage_end

        rows = self.read()
        done = len(search.meter.outcomes)
        while done < len(rows) and search.meter.affords(judged=1):
            until = stage_end(len(rows), self.stages, done)
            while done < until and search.meter.affords(judged=1):
                count = min(until - done, search.trial.at_once)
                while not search.meter.affords(judged=count):
                    count -= 1
                chunk = rows[done : done + count]
                search.judged(_one_of_each(search, chunk, done))
                done += len(chunk)
                search.advance(done, len(rows))
            yield _stage(search, rows)


def _one_of_each(search: Search, rows: Sequence[PromptRow], first: int) -> list[Image.Image]:
    """Return a picture of each row, by its own seed and guidance where it has some."""
    from turpentine.models import Artefact

    pictures: dict[int, Image.Image] = {}
    scales = [search.trial.guidance_scale if row.guidance is None else row.guidance for row in rows]
    for scale in dict.fromkeys(scales):
        places = [place for place, own in enumerate(scales) if own == scale]
        artefact = Artefact(tuple(rows[place].prompt for place in places))
        seeds = [_seed(rows[place], first + place) for place in places]
        images = pictures_of(search.victim, artefact, seeds, replace(search.trial, guidance_scale=scale))
        pictures |= dict(zip(places, images, strict=True))
    return [pictures[place] for place in range(len(rows))]


def _seed(row: PromptRow, number: int) -> int:
    return SEARCH_SEEDS + number if row.seed is None else row.seed


def _stage(search: Search, rows: Sequence[PromptRow]) -> SearchStage:
    """Return the prompts of which a picture showed the concept, or all until now where none did."""
    from turpentine.attack._stages import SearchStage
    from turpentine.models import Artefact

    outcomes = search.meter.outcomes
    tried = [row.prompt for row in rows[: len(outcomes)]]
    hits = [prompt for prompt, hit in zip(tried, outcomes, strict=True) if hit]
    measured = {"prompts": len(tried), "of them with the concept": len(hits)}
    return SearchStage(Artefact(tuple(dict.fromkeys(hits or tried))), measurements=measured)
