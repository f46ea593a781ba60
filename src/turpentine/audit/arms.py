"""The arms of an audit: who is attacked beside the edited model, and what each shows of some prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from turpentine.attack.budget import ConceptJudge
from turpentine.attack.harness import Trial
from turpentine.attack.victim import Victim
from turpentine.core.errors import BadArgument
from turpentine.core.parts import RECORDS, Parts
from turpentine.judges.base import Judge, hits
from turpentine.judges.worlds import world_of_model
from turpentine.models.generate import batches
from turpentine.stats.equivalence import Outcomes
from turpentine.tasks.cases import Case

SEEDS = 4_000_000
"""Where the seeds of an audit's own pictures begin: no attack and no bench draws with them."""
REVISION = 1
"""Goes up when the same prompts, seeds and judge come to other outcomes."""


@dataclass(frozen=True, eq=False)
class Lineup:
    """Who is attacked.

    Args:
        edited: The edited model.
        original: The model without the edit.
        hidden: The original with the concept only hidden.
        oracle: One that never saw the concept, None where there is none.
        unnamed: One that saw it and never its name, None where there is none.

    Raises:
        BadArgument: An oracle is of another world or architecture than the original, or is the original.
    """

    edited: Victim
    original: Victim
    hidden: Victim
    oracle: Victim | None = None
    unnamed: Victim | None = None

    def __post_init__(self) -> None:
        for oracle in (self.oracle, self.unnamed):
            if oracle is not None:
                check_oracle(oracle, self.original)

    def victims(self) -> dict[str, Victim]:
        """Return all of them by the names of `verdict.Arms`."""
        arms = {"edited": self.edited, "original": self.original, "hidden": self.hidden}
        oracles = {"oracle": self.oracle, "unnamed": self.unnamed}
        return arms | {name: each for name, each in oracles.items() if each is not None}

    def compared(self) -> dict[str, Victim]:
        """Return those that are attacked as the edited model is: it, and the oracles."""
        return {name: each for name, each in self.victims().items() if name in ("edited", "oracle", "unnamed")}


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
    if {name: each.shape for name, each in one.denoiser.named_parameters()} != {
        name: each.shape for name, each in other.denoiser.named_parameters()
    }:
        raise BadArgument(f"The oracle {one.name} is built otherwise than {other.name}: give one of its architecture.")
    if oracle.facts() == original.facts():
        raise BadArgument(f"The oracle {one.name} is {other.name} itself: give one that never saw the concept.")


def concept_outcomes(
    victim: Victim, prompts: Sequence[str], count: int, shows: ConceptJudge, trial: Trial, folder: Path | None
) -> Outcomes:
    """Return of new pictures, the nth of its nth prompt (in turns), whether each shows the concept.

    Args:
        victim: Who draws.
        prompts: One or more.
        count: Pictures.
        shows: The judge, of the concept.
        trial: How they are drawn.
        folder: Of finished parts; with None nothing is stored.
    """
    texts = [prompts[place % len(prompts)] for place in range(count)]
    outcomes = _judged(victim, texts, trial, folder, shows.facts(), lambda images, rows: shows(images))
    return Outcomes(tuple(outcomes), tuple(texts) if len(set(texts)) > 1 else None)


def other_outcomes(
    victim: Victim, cases: Sequence[Case], count: int, judge: Judge, trial: Trial, folder: Path | None
) -> Outcomes:
    """Return of new pictures of other things, in turns, whether each shows what it should.

    Args:
        victim: Who draws.
        cases: With what should be seen.
        count: Pictures.
        judge: Who sees.
        trial: How they are drawn.
        folder: Of finished parts; with None nothing is stored.
    """
    asks = [cases[place % len(cases)] for place in range(count)]

    def seen(images: Sequence[Image.Image], rows: slice) -> list[bool]:
        outcomes = [False] * len(images)
        for attribute in {case.attribute for case in asks[rows]}:
            places = [place for place, case in enumerate(asks[rows]) if case.attribute == attribute]
            expected = [str(asks[rows][place].expected) for place in places]
            for place, hit in zip(
                places, hits(judge, str(attribute), [images[place] for place in places], expected), strict=True
            ):
                outcomes[place] = hit
        return outcomes

    about = [judge.name, judge.revision, dict(judge.settings), [[case.attribute, case.expected] for case in asks]]
    outcomes = _judged(victim, [case.prompt for case in asks], trial, folder, about, seen)
    return Outcomes(tuple(outcomes), tuple(case.prompt for case in asks))


def _judged(
    victim: Victim,
    texts: Sequence[str],
    trial: Trial,
    folder: Path | None,
    about: Any,
    seen: Callable[[Sequence[Image.Image], slice], list[bool]],
) -> list[bool]:
    """Draw and judge a batch at a time, each a part of its own, and return all outcomes."""
    parts: Parts[list[bool]] = Parts(folder, ["audit", REVISION, victim.facts(), trial.drawing, about], RECORDS)
    outcomes: list[bool] = []
    for rows in batches(len(texts), trial.batch_size):

        def draw(rows: slice = rows) -> list[bool]:
            seeds = list(range(SEEDS, SEEDS + len(texts)))[rows]
            with victim.on() as model:
                images = list(model.generate(list(texts[rows]), seeds=seeds, progress=False, **trial.drawing))
            return [bool(each) for each in seen(images, rows)]

        outcomes += parts.part([rows.start, list(texts[rows])], draw)
    return outcomes


def rows_of(attack: str, arms: Mapping[str, Outcomes]) -> list[dict[str, Any]]:
    """Return the rows of a table: of an attack, or a group of prompts, in each arm.

    Args:
        attack: Its name.
        arms: Outcomes by arm.
    """
    from turpentine.stats.intervals import Rate

    rows = []
    for arm, outcomes in arms.items():
        clusters = None if outcomes.clusters is None else [(name,) for name in outcomes.clusters]
        rate = Rate.of(outcomes.hits, clusters)
        assert rate is not None  # outcomes are never empty
        row = {"attack": attack, "arm": arm, "hits": rate.hits, "n": rate.n}
        rows.append({**row, "rate": rate.value, "low": rate.low, "high": rate.high})
    return rows
