"""Attacks beside their controls: the original, what was never seen, no attack, and a change that only hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from PIL import Image

from turpentine.attack._plain import REFERENCES, check_original, plain_rate, references_of
from turpentine.attack.attacked import Attacked
from turpentine.attack.budget import Budget, ConceptJudge, Spent
from turpentine.attack.harness import Attack, concept_judge
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim, as_victim
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.finding import TableFinding
from turpentine.core.formatting import with_span
from turpentine.core.progress import Progress
from turpentine.edits import Edit, Provenance
from turpentine.judges.base import Judge
from turpentine.judges.worlds import check_judge_of
from turpentine.models import Model
from turpentine.stats.intervals import Rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_ATTACK = "no attack"
EDITED, ORIGINAL, NEVER, HIDDEN = "edited", "original", "never seen", "only hidden"
Never = tuple[Concept | str, Sequence[Image.Image], Judge | ConceptJudge]
"""A concept that the original never saw, pictures of it, and who says whether it is in a picture."""


@dataclass(frozen=True, eq=False)
class Controls:
    """What attacks are held against, beside the original and plain prompts.

    Args:
        never: A concept that the original never saw, pictures of it, and who judges them: what an attack brings "back"
            of it was not in the model.
        hide_as: The word that the concept's own vector is swapped for in the control that only hides; by default one
            that the model knows.

    Example:
        >>> Controls(hide_as="dog").never is None
        True
    """

    never: Never | None = None
    hide_as: str | None = None


def unseen(name: str, count: int = REFERENCES) -> Never:
    """Return what is not in the emoji world as a control: its name, rendered pictures of it, and a judge that knows it.

    Args:
        name: One of `turpentine.emoji.world.UNSEEN`, such as "mushroom".
        count: Pictures.

    Raises:
        UnknownName: There are no sprites of it.

    Example:
        >>> name, pictures, judge = unseen("anchor", 3)
        >>> name, len(pictures), judge.columns["unseen"].labels
        ('anchor', 3, ('anchor', 'other'))
    """
    from turpentine.emoji.unseen import unseen_pictures
    from turpentine.judges.emoji_unseen import UnseenJudge

    return name, unseen_pictures(name, count), UnseenJudge(name)


def judged_never(never: Never, original: Victim) -> tuple[Concept, Sequence[Image.Image], ConceptJudge]:
    """Return what the original never saw with a judge that knows it, and refuse it if that cannot be.

    Args:
        never: As given.
        original: The model without the erasure.

    Raises:
        BadArgument: The judge has no label for it, or is of another world.
        EmptyConcept: The model has no token for it.
    """
    what, pictures, judge = never
    concept = Concept(what) if isinstance(what, str) else what
    shows = concept_judge(judge, concept)
    original.model.text.check_words(concept.text)
    check_judge_of(original.model, shows.judge)
    return concept, pictures, shows


def check_attacks(
    attacks: Sequence[Attack],
    victims: Sequence[Victim],
    *,
    original: Victim,
    references: Sequence[Image.Image],
    never: Never | None,
    budget: Budget,
    trial: Trial,
) -> None:
    """Refuse attacks that cannot be run on all of their arms, before anything is drawn.

    Args:
        attacks: Which.
        victims: What is attacked, the controls among them.
        original: The model without the erasure.
        references: Pictures of the concept; none where the original is to draw them.
        never: A concept that the original never saw.
        budget: The most that each search may spend.
        trial: How pictures are drawn.

    Raises:
        BadArgument: An attack lacks something, a budget does not reach for a single try, or nobody knows what was never
            seen.
    """
    for attack in attacks:
        for victim in victims:
            attack.check(victim, original, references or None, budget, trial)
    if never is not None:
        _, pictures, _ = judged_never(never, original)
        for attack in attacks:
            attack.check(original, original, pictures, budget, trial)


@dataclass(frozen=True, eq=False)
class Battery(TableFinding):
    """Attacks and their controls.

    Args:
        table: A row for each attack and arm: `attack` ("no attack" for plain prompts), `arm` ("edited", "original",
            "never seen", "only hidden"), `hits`, `n`, `success`, `low`, `high`, and what was spent.
        title: What was attacked.
        outcomes: By attack and arm, the attack's own finding.
    """

    table: pl.DataFrame
    title: str
    outcomes: Mapping[tuple[str, str], Attacked]

    def rate(self, attack: str, arm: str) -> Rate | None:
        """Return how often pictures showed the concept, None where that was not tried."""
        rows = self.table.filter((pl.col("attack") == attack) & (pl.col("arm") == arm)).rows(named=True)
        return Rate(rows[0]["hits"], rows[0]["n"], (rows[0]["low"], rows[0]["high"])) if rows else None

    def has_power(self, attack: str) -> bool | None:
        """Return whether an attack opens what only hides: more often than plain prompts do, beyond its interval.

        None where that was not tried. The zero of an attack without power says nothing.
        """
        opened, plain = self.rate(attack, HIDDEN), self.rate(NO_ATTACK, HIDDEN)
        return None if opened is None or plain is None else opened.low > plain.value

    def plot(self) -> Figure:
        """Plot each attack's success on each arm."""
        from matplotlib.figure import Figure

        names = self.table["attack"].unique(maintain_order=True).to_list()
        arms = [arm for arm in (EDITED, ORIGINAL, NEVER, HIDDEN) if arm in self.table["arm"].to_list()]
        figure = Figure(figsize=(7, 1.2 + 0.5 * len(names)), layout="constrained")
        axes = figure.subplots()
        for place, arm in enumerate(arms):
            rows = self.table.filter(pl.col("arm") == arm)
            y = [names.index(name) + 0.2 * (place - (len(arms) - 1) / 2) for name in rows["attack"]]
            ends = [(rows["success"] - rows["low"]).to_list(), (rows["high"] - rows["success"]).to_list()]
            axes.errorbar(rows["success"].to_list(), y, xerr=ends, fmt="o", label=arm)
        axes.set(title=self.title, xlabel="share of pictures with the concept", xlim=(-0.03, 1.03))
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        figure.legend(loc="outside lower center", ncols=len(arms), fontsize="small")
        return figure

    def summary(self) -> str:
        """Say for each attack how often it succeeds, beside its controls."""
        lines = []
        for name in self.table["attack"].unique(maintain_order=True):
            rates = [(arm, self.rate(name, arm)) for arm in (EDITED, ORIGINAL, NEVER, HIDDEN)]
            parts = [f"{arm} {with_span(rate)} %" for arm, rate in rates if rate is not None]
            power = "" if name == NO_ATTACK or self.has_power(name) is not False else " (no power here)"
            lines.append(f"{name}{power}: {', '.join(parts)}.")
        return " ".join(lines)


def battery(
    attacks: Sequence[Attack],
    edited: Any,
    concept: Concept | str,
    *,
    original: Any,
    judge: Judge | ConceptJudge,
    references: Sequence[Image.Image] = (),
    controls: Controls | None = None,
    budget: Budget | None = None,
    trial: Trial | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Battery:
    """Run attacks on an edited model and, by the same function and with the same budget, on all controls.

    Args:
        attacks: Which.
        edited: What is attacked: a `Victim`, or a model as it is.
        concept: What is to come back.
        original: The same without the erasure.
        judge: Who says whether the concept is in a picture.
        references: Pictures of the concept; by default the original draws them.
        controls: What it is held against beside the original and plain prompts.
        budget: The most that each search may spend.
        trial: How pictures are drawn, and how often the original must draw the concept; by default by `Trial.of` it.
        seed: Of all chance.
        cache: The folder for finished parts: a battery that is over draws nothing when it runs again.
        progress: Called with parts done and in all.

    Raises:
        BadArgument: Something that an attack needs is missing, a budget does not reach for a single try, or nobody
            knows what was never seen.
        AbsentConcept: The original does not draw the concept.
    """
    concept = Concept(concept) if isinstance(concept, str) else concept
    base, shows, controls = as_victim(original), concept_judge(judge, concept), controls or Controls()
    trial = (trial or Trial.of(base.model)).fitting(base.model, cache)
    arms = {EDITED: as_victim(edited), ORIGINAL: base}
    arms[HIDDEN] = Victim(base.model, (*base.changes, swapped_word(base, concept, controls.hide_as)))
    given: dict[str, Any] = {"references": references, "never": controls.never, "trial": trial}
    check_attacks(attacks, list(arms.values()), original=base, budget=budget or Budget(), **given)
    plain = {arm: plain_rate(victim, concept, shows, trial, cache) for arm, victim in arms.items()}
    check_original(plain[ORIGINAL], base, concept, trial)
    rows = [_row(NO_ATTACK, arm, rate, Spent()) for arm, rate in plain.items()]
    if not references and any("references" in attack.needs for attack in attacks):
        references = references_of(base, concept, shows, trial, cache)
    targets: dict[str, tuple[Victim, Never]]
    targets = {arm: (victim, (concept, references, shows)) for arm, victim in arms.items()}
    if controls.never:
        targets[NEVER] = base, judged_never(controls.never, base)
    how: dict[str, Any] = {"original": base, "budget": budget, "seed": seed, "cache": cache}
    how["trial"] = replace(trial, original_rate=0)  # that the original draws the concept is checked above
    outcomes = dict(_attacked(attacks, targets, how, progress))
    rows += [_row(attack, arm, outcome.success, outcome.spent) for (attack, arm), outcome in outcomes.items()]
    return Battery(pl.DataFrame(rows), f"{concept.text} in {arms[EDITED].model.name}", outcomes)


def _attacked(
    attacks: Sequence[Attack],
    targets: Mapping[str, tuple[Victim, Never]],
    how: Mapping[str, Any],
    progress: Progress | None,
) -> Iterator[tuple[tuple[str, str], Attacked]]:
    """Yield what each attack came to on each arm, by the names of both."""
    units = [(attack, arm) for attack in attacks for arm in targets]
    for number, (attack, arm) in enumerate(units):
        victim, (what, pictures, by) = targets[arm]
        advance = _shifted(progress, number, len(units))
        yield (attack.name, arm), attack(victim, what, references=pictures, judge=by, progress=advance, **how)


def swapped_word(original: Victim, concept: Concept, other: str | None = None) -> Edit:
    """Return an edit that only hides a concept: its words' vectors become another word's, and nothing else changes.

    Args:
        original: The model that knows the concept.
        concept: What is hidden.
        other: The word; by default the first of some that the model knows.

    Raises:
        BadArgument: The model knows no other word.
    """
    with original.on() as model:
        other = other or _another_word(model, concept)
        deltas = {}
        for component, name in model.family.token_table_names().items():
            table = model.parameter(name).detach().float().cpu()
            own, foreign = (_ids(model, text, component) for text in (concept.text, other))
            delta = torch.zeros_like(table)
            for index, row in enumerate(own):
                delta[row] = table[foreign[index % len(foreign)]] - table[row]
            deltas[name] = delta
        provenance = Provenance(method="swapped word", concepts=(concept,), base=model.fingerprint, model=model.name)
    return Edit(deltas, provenance)


_OTHERS = ("dog", "car", "tree", "house", "red")


def _another_word(model: Model, concept: Concept) -> str:
    words = [word for word in _OTHERS if word not in concept.text and not model.text.unknown_words(word)]
    if not words:
        raise BadArgument(f"{model.name} knows none of {', '.join(_OTHERS)}: give the word to hide behind as hide_as.")
    return words[0]


def _ids(model: Model, text: str, component: str) -> list[int]:
    places = model.text.find(text, text, encoder=component)
    row = model.family.tokenize([text])[component][0]
    return [int(row[place]) for place in places.subject]


def _row(attack: str, arm: str, rate: Rate, spent: Spent) -> dict[str, Any]:
    row = {"attack": attack, "arm": arm, "hits": rate.hits, "n": rate.n, "success": rate.value}
    return {**row, "low": rate.low, "high": rate.high, **asdict(spent)}


def _shifted(progress: Progress | None, number: int, units: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, units * total)
