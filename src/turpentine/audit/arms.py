"""The arms of an audit: who is attacked beside the edited model, and what each shows of some prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from turpentine.attack.budget import ConceptJudge
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.core.errors import BadArgument
from turpentine.core.parts import TABLES, Parts
from turpentine.judges.worlds import world_of_model
from turpentine.models.generate import batches
from turpentine.stats.equivalence import Outcomes

SEEDS = 4_000_000
"""Where the seeds of an audit's own pictures begin: no attack and no bench draws with them."""
REVISION = 2
"""Goes up when the same prompts, seeds and judge come to other outcomes."""


@dataclass(frozen=True, eq=False)
class Lineup:
    """Who is attacked.

    Args:
        edited: The edited model.
        original: The model without the edit.
        hidden: The original with the concept only hidden.
        oracles: Those that never saw the concept, of one seed or several; none where there are none.
        unnamed: Those that saw it and never its name.

    Raises:
        BadArgument: An oracle is of another world or architecture than the original, is the original, or comes twice.
    """

    edited: Victim
    original: Victim
    hidden: Victim
    oracles: tuple[Victim, ...] = ()
    unnamed: tuple[Victim, ...] = ()

    def __post_init__(self) -> None:
        given = [*self.oracles, *self.unnamed]
        for oracle in given:
            check_oracle(oracle, self.original)
        facts = [oracle.facts() for oracle in given]
        for place, oracle in enumerate(given):
            if facts[place] in facts[:place]:
                raise BadArgument(f"The oracle {oracle.model.name} is there twice: give one of another seed.")

    def arms(self) -> dict[str, tuple[Victim, ...]]:
        """Return all of them by the names of `evidence.Arms`; an arm of several seeds has several."""
        arms = {"edited": (self.edited,), "original": (self.original,), "hidden": (self.hidden,)}
        oracles = {"oracle": self.oracles, "unnamed": self.unnamed}
        return arms | {name: several for name, several in oracles.items() if several}

    def compared(self) -> dict[str, tuple[Victim, ...]]:
        """Return those that are attacked as the edited model is: it, and the oracles."""
        return {name: several for name, several in self.arms().items() if name in ("edited", "oracle", "unnamed")}


def check_oracle(oracle: Victim, original: Victim) -> None:
    """Refuse an oracle that a model cannot be held against.

    Args:
        oracle: Said never to have seen a concept, or its name.
        original: Has.

    Raises:
        BadArgument: It is of another world, of another architecture, or the original itself.
    """
    one, other = oracle.model, original.model
    if world_of_model(one) != world_of_model(other) or one.size != other.size:
        raise BadArgument(
            f"The oracle {one.name} is of another world than {other.name}: give one that was trained as it was, "
            "without the concept."
        )
    if _shapes(oracle) != _shapes(original):
        raise BadArgument(f"The oracle {one.name} is built otherwise than {other.name}: give one of its architecture.")
    if oracle.facts() == original.facts():
        raise BadArgument(f"The oracle {one.name} is {other.name} itself: give one that never saw the concept.")


def check_base(edited: Victim, original: Victim) -> None:
    """Refuse a model that cannot have been made from another one.

    Args:
        edited: A model, which may be a whole one that others have edited.
        original: Its base.

    Raises:
        BadArgument: It draws another world, or is built otherwise.
    """
    one, other = edited.model, original.model
    if one is other:
        return
    if world_of_model(one) != world_of_model(other) or one.size != other.size or _shapes(edited) != _shapes(original):
        raise BadArgument(
            f"{one.name} is no edit of {other.name}, which is built otherwise: give the model that it is of."
        )


def _shapes(victim: Victim) -> dict[str, Any]:
    return {name: each.shape for name, each in victim.model.denoiser.named_parameters()}


def concept_outcomes(
    victim: Victim,
    prompts: Sequence[str],
    count: int,
    judges: Sequence[ConceptJudge],
    trial: Trial,
    folder: Path | None,
) -> list[Outcomes]:
    """Return for each judge of new pictures, the nth of its nth prompt (in turns), whether each shows the concept.

    Args:
        victim: Who draws.
        prompts: One or more.
        count: Pictures.
        judges: Of the concept.
        trial: How they are drawn.
        folder: Of finished parts; with None nothing is stored.
    """
    texts = [prompts[place % len(prompts)] for place in range(count)]

    def look(images: Sequence[Image.Image], rows: slice) -> pl.DataFrame:
        return pl.DataFrame({str(number): judge(images) for number, judge in enumerate(judges)})

    table = pictures_table(victim, texts, trial, folder, [judge.facts() for judge in judges], look)
    clusters = tuple(texts) if len(set(texts)) > 1 else None
    return [Outcomes(tuple(table[column].to_list()), clusters) for column in table.columns]


def pictures_table(
    victim: Victim,
    texts: Sequence[str],
    trial: Trial,
    folder: Path | None,
    about: Any,
    look: Callable[[Sequence[Image.Image], slice], pl.DataFrame],
) -> pl.DataFrame:
    """Draw pictures and look at them, a batch at a time, each a part of its own, and return all rows.

    Args:
        victim: Who draws.
        texts: A prompt for each picture.
        trial: How they are drawn.
        folder: Of finished parts; with None nothing is stored.
        about: All that decides what is seen, as JSON has it.
        look: Returns a row for each picture of a batch; its rows are those of the slice.
    """
    parts: Parts[pl.DataFrame] = Parts(folder, ["audit", REVISION, victim.facts(), trial.drawing, about], TABLES)
    tables = []
    for rows in batches(len(texts), trial.at_once):

        def draw(rows: slice = rows) -> pl.DataFrame:
            seeds = list(range(SEEDS, SEEDS + len(texts)))[rows]
            with victim.on() as model:
                images = list(model.generate(list(texts[rows]), seeds=seeds, progress=False, **trial.drawing))
            return look(images, rows)

        tables.append(parts.part([rows.start, list(texts[rows])], draw))
    return pl.concat(tables)


def rows_of(attack: str, arms: Mapping[str, Outcomes], by: str) -> list[dict[str, Any]]:
    """Return the rows of a table: of an attack, or a group of prompts, in each arm.

    Args:
        attack: Its name.
        arms: Outcomes by arm.
        by: The judge's name.
    """
    from turpentine.stats.intervals import Rate

    rows = []
    for arm, outcomes in arms.items():
        rate = Rate.of(outcomes.hits, outcomes.levels())
        assert rate is not None  # outcomes are never empty
        row = {"attack": attack, "arm": arm, "judge": by, "hits": rate.hits, "n": rate.n}
        rows.append({**row, "rate": rate.value, "low": rate.low, "high": rate.high})
    return rows
