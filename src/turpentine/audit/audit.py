"""An audit: attacks on an edited model beside its controls and oracles, what else broke, and a verdict by rule.

audit = Audit([CCE(), RandomPrefix()], pictures=342)
edited, never = Victim(model, (edit,)), unseen("anchor")
audited = audit(edited, "church", original=model, judge=EmojiJudge(), oracle=oracle, never=never)
print(audited.summary())
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl

from turpentine.attack.budget import Budget, ConceptJudge
from turpentine.attack.controls import EDITED, HIDDEN, NEVER, ORIGINAL, Battery, Controls, Never, battery, swapped_word
from turpentine.attack.harness import Attack, Trial, concept_judge, plain_settings
from turpentine.attack.leak import leak_of
from turpentine.attack.victim import Victim, as_victim
from turpentine.audit.arms import SEEDS, Lineup, concept_outcomes, other_outcomes, rows_of
from turpentine.audit.audited import Audited
from turpentine.audit.deep import ModuleDepth, depth, fade
from turpentine.audit.evidence import NAMED, Arms
from turpentine.audit.held_out import held_out_prompts, implied_prompts, other_cases
from turpentine.audit.plan import LEAST, AuditPlan
from turpentine.audit.verdict import Rules, check_erasable, ruling
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.progress import Progress
from turpentine.judges.base import Judge
from turpentine.judges.worlds import world_of_model
from turpentine.stats.equivalence import Outcomes
from turpentine.stats.prevalence import JudgeError

if TYPE_CHECKING:
    from PIL import Image

PROMPTS = 40
"""Held-out prompts at most; each is drawn several times."""
DEEP, OTHERS = 16, 108
OWN, IMPLIED = "own prompts", "implied"


@dataclass(frozen=True)
class Audit:
    """How an audit is done.

    Args:
        attacks: Which, each with its settings; they are not to be chosen on the concept that is audited.
        pictures: Of each arm, by name and of each attack.
        budget: The most that each search may spend, in every arm.
        trial: How pictures are drawn; `pictures` stands in the place of its own.
        rules: Of the verdict.
        others: Pictures of other things.
        deep: Pictures on which predictions and hidden states are held against the oracle's, where there is one; 0 for
            none.
        seed: Of all chance.

    Raises:
        BadArgument: There is no attack, or there are too few pictures to decide anything.
    """

    attacks: Sequence[Attack]
    pictures: int = 342
    budget: Budget = field(default_factory=Budget)
    trial: Trial = field(default_factory=Trial)
    rules: Rules = field(default_factory=Rules)
    others: int = OTHERS
    deep: int = DEEP
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.attacks:
            raise BadArgument("There is no attack: an audit without one shows what a name brings and no more.")
        if min(self.pictures, self.others) < LEAST:
            raise BadArgument(f"{min(self.pictures, self.others)} pictures decide nothing: give {LEAST} or more.")

    @classmethod
    def planned(cls, plan: AuditPlan, attacks: Sequence[Attack], **settings: Any) -> Audit:
        """Return the audit of a plan.

        Args:
            plan: See `plan.plan_audit`.
            attacks: That the plan chose from.
            settings: The other fields.
        """
        rules = replace(settings.pop("rules", Rules()), quick=plan.quick)
        settings = {"others": min(OTHERS, plan.pictures), **settings}
        return cls([each for each in attacks if each.name in plan.attacks], plan.pictures, rules=rules, **settings)

    def __call__(
        self,
        edited: Any,
        concept: Concept | str,
        *,
        original: Any,
        judge: Judge | ConceptJudge,
        oracle: Any = None,
        unnamed: Any = None,
        never: Never | None = None,
        references: Sequence[Image.Image] = (),
        judge_error: JudgeError | None = None,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Audited:
        """Measure all arms and return what came out, with the verdict.

        Args:
            edited: What is audited: a `Victim`, or a model as it is.
            concept: What is to be gone.
            original: The same without the edit.
            judge: Who says whether the concept is in a picture.
            oracle: A model that never saw the concept (O1).
            unnamed: A model that saw it and never its name (O2).
            never: A concept that the original never saw; without an oracle it is the reference, and must be given.
            references: Pictures of the concept, for attacks that need them; by default the original draws them.
            judge_error: How often the judge is right, counted on labelled pictures before the edit.
            cache: The folder for finished parts, from which an interrupted audit goes on.
            progress: Called with stages done and in all.

        Raises:
            BadArgument: There is nothing to hold the attacks against, an oracle does not fit, or the original does not
                draw the concept.
            WrongBase: The edit is of another model.
        """
        concept = Concept(concept) if isinstance(concept, str) else concept
        if oracle is None and never is None:
            raise BadArgument(
                "There is nothing to hold the attacks against: give an oracle, or a concept that was never seen."
            )
        base = as_victim(original)
        hidden = Victim(base.model, (*base.changes, swapped_word(base, concept)))
        oracles = [None if each is None else as_victim(each) for each in (oracle, unnamed)]
        lineup = Lineup(as_victim(edited), base, hidden, *oracles)
        lineup.edited.facts()  # an edit of another base is refused before anything is drawn
        with _folder(cache) as folder:
            run = _AuditRun(self, lineup, concept, concept_judge(judge, concept), never, references, folder, progress)
            return run.audited(judge_error)


@contextmanager
def _folder(cache: str | os.PathLike[str] | None) -> Iterator[Path]:
    if cache is not None:
        yield Path(cache)
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)


class _AuditRun:
    """One audit under way."""

    def __init__(
        self,
        audit: Audit,
        lineup: Lineup,
        concept: Concept,
        shows: ConceptJudge,
        never: Never | None,
        references: Sequence[Image.Image],
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self._audit, self._lineup, self._concept, self._shows = audit, lineup, concept, shows
        self._never, self._references, self._folder, self._progress = never, references, folder, progress
        self._trial = replace(audit.trial, pictures=audit.pictures)
        self._is_world = world_of_model(lineup.original.model) is not None
        self._prompts = held_out_prompts(concept, PROMPTS, is_world=self._is_world)
        self._stages, self._done = 4 + len(lineup.compared()), 0

    def audited(self, judge_error: JudgeError | None) -> Audited:
        """Measure everything, the cheap first, and decide."""
        named = self._named()
        check_erasable(Arms(NAMED, **named))
        beside = {group: self._by_prompts(prompts) for group, prompts in self._groups().items()}
        others = self._others()
        batteries = {name: self._battery(victim) for name, victim in self._lineup.compared().items()}
        arms = [Arms(NAMED, **named), *(self._arms(attack.name, batteries) for attack in self._audit.attacks)]
        verdict = ruling(arms, self._audit.rules, others=others, judge=judge_error)
        deep = self._deep() if self._audit.deep and self._lineup.oracle is not None else {}
        self._advance()
        table = [row for each in arms for row in rows_of(each.attack, each.outcomes())]
        table += [row for group, outcomes in beside.items() for row in rows_of(group, outcomes)]
        if others:
            table += rows_of("other things", {"edited": others[0], "original": others[1]})
        return Audited(
            pl.DataFrame(table),
            f"{self._concept.text} in {self._lineup.edited.model.name}",
            verdict,
            self._protocol(judge_error),
            deep,
            self._leak(),
            batteries,
            judge_error,
        )

    def _named(self) -> dict[str, Outcomes]:
        """Return what each arm shows of the held-out prompts, and the original of what it never saw."""
        named = self._by_prompts(self._prompts, everyone=True)
        if self._never is not None:
            what, _, judge = self._never
            other = Concept(what) if isinstance(what, str) else what
            shows, base = concept_judge(judge, other), self._lineup.original
            count = self._audit.pictures
            named["never"] = concept_outcomes(base, other.prompts, count, shows, self._trial, self._folder)
        self._advance()
        return named

    def _groups(self) -> dict[str, tuple[str, ...]]:
        groups = {OWN: self._concept.prompts, IMPLIED: implied_prompts(self._concept) if self._is_world else ()}
        return {name: prompts for name, prompts in groups.items() if prompts}

    def _by_prompts(self, prompts: Sequence[str], *, everyone: bool = False) -> dict[str, Outcomes]:
        """Return what arms show of prompts: all of them, or all but the one that only hides, of fewer pictures."""
        count = self._audit.pictures if everyone else min(self._audit.pictures, max(LEAST, 8 * len(prompts)))
        victims = {name: each for name, each in self._lineup.victims().items() if everyone or name != "hidden"}
        return {
            name: concept_outcomes(victim, prompts, count, self._shows, self._trial, self._folder)
            for name, victim in victims.items()
        }

    def _others(self) -> tuple[Outcomes, Outcomes] | None:
        """Return what the edited model and the original show of other things, None where the judge knows none."""
        judge, count = self._shows.judge, self._audit.others
        cases = other_cases(self._lineup.original.model, self._concept, judge, count)
        self._advance()
        if not cases:
            return None
        draw = partial(other_outcomes, cases=cases, count=count, judge=judge, trial=self._trial, folder=self._folder)
        return draw(self._lineup.edited), draw(self._lineup.original)

    def _battery(self, victim: Victim) -> Battery:
        """Run all attacks on a model; its controls are drawn once, for they are parts in the folder."""
        result = battery(
            self._audit.attacks,
            victim,
            self._concept,
            original=self._lineup.original,
            judge=self._shows,
            references=self._references,
            controls=Controls(self._never),
            budget=self._audit.budget,
            trial=self._trial,
            seed=self._audit.seed,
            cache=self._folder,
        )
        self._advance()
        return result

    def _arms(self, attack: str, batteries: Mapping[str, Battery]) -> Arms:
        """Return an attack's outcomes in all arms; an artefact's prompts are no sample, so pictures are no clusters."""

        def outcomes(arm: str, of: str = "edited") -> Outcomes | None:
            outcome = batteries[of].outcomes.get((attack, arm)) if of in batteries else None
            return None if outcome is None else Outcomes(tuple(outcome.outcomes))

        edited, original = outcomes(EDITED), outcomes(ORIGINAL)
        assert edited is not None and original is not None
        oracles = {name: outcomes(EDITED, name) for name in ("oracle", "unnamed")}
        return Arms(attack, edited, original, never=outcomes(NEVER), hidden=outcomes(HIDDEN), **oracles)

    def _deep(self) -> dict[str, Any]:
        """Return FADE in both directions, and Δ of each module, as JSON has them."""
        edited, oracle, original = self._lineup.edited, self._lineup.oracle, self._lineup.original
        assert oracle is not None
        prompts = [self._prompts[place % len(self._prompts)] for place in range(self._audit.deep)]
        seeds = range(SEEDS, SEEDS + self._audit.deep)
        about = ["deep", 1, *(each.facts() for each in (edited, oracle, original)), self._trial.drawing, prompts]
        parts: Parts[Any] = Parts(self._folder, about, RECORDS)

        def apart(one: Victim, other: Victim) -> dict[str, float]:
            return fade(one, other, prompts, seeds, self._trial)._asdict()

        def modules() -> list[list[Any]]:
            return [list(each) for each in depth(edited, oracle, original, prompts, seeds, self._trial)]

        return {
            "edited from the oracle": parts.part("forward", lambda: apart(edited, oracle)),
            "oracle from the edited": parts.part("reverse", lambda: apart(oracle, edited)),
            "original from the oracle": parts.part("original", lambda: apart(original, oracle)),
            "modules": [ModuleDepth(*each)._asdict() for each in parts.part("modules", modules)],
        }

    def _leak(self) -> dict[str, Any]:
        """Return what the edit's file gives away by itself; nothing where there is not one edit."""
        edits = self._lineup.edited.edits
        return dict(leak_of(edits[0], self._lineup.edited.model).numbers()) if len(edits) == 1 else {}

    def _protocol(self, judge_error: JudgeError | None) -> dict[str, Any]:
        """Return what decides the numbers, as JSON has it."""
        audit = self._audit
        return {
            "concept": asdict(self._concept),
            "arms": {name: victim.facts() for name, victim in self._lineup.victims().items()},
            "never": str(self._never[0] if isinstance(self._never[0], str) else self._never[0].text)
            if self._never
            else None,
            "attacks": [[each.name, {k: str(v) for k, v in plain_settings(each).items()}] for each in audit.attacks],
            "budget": asdict(audit.budget),
            "trial": self._trial.facts,
            "rules": asdict(audit.rules),
            "judge": self._shows.facts(),
            "judge_error": judge_error
            and {name: [each.hits, each.n] for name, each in vars(judge_error).items() if name != "youden"},
            "prompts": list(self._prompts),
            "others": audit.others,
            "seed": audit.seed,
        }

    def _advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._stages)
