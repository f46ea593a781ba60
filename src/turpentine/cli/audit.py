"""`turpentine audit`: a verdict on an edit, with the evidence on one page and an exit code for other programs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter
from cyclopts.types import PositiveInt, UInt32

from turpentine.cli.attacked_edit import affordable_attacks, erased_concept
from turpentine.cli.checks import check_folder, check_words
from turpentine.cli.help_text import with_help
from turpentine.cli.options import (
    OUTPUT,
    Json,
    ModelChoice,
    ModelFlags,
    check_judge_flag,
    judge_of_concept,
    warn_of_unknown_words,
)
from turpentine.cli.progress_bars import progress_bar
from turpentine.cli.terminal import plain, say, say_json, say_prose
from turpentine.core.errors import BadArgument
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from turpentine.attack import Attack, Trial
    from turpentine.audit.audited import Audited
    from turpentine.audit.plan import AuditPlan
    from turpentine.edits import Change
    from turpentine.models import Model

AuditFlags = Parameter(name="*", group=Group("Auditing", sort_key=2))
AUDITED = Path("audited")
PAGE = "audit.html"


@with_help
@dataclass(frozen=True)
class AuditChoice:
    """What an edit is held against, and how long that may take.

    Args:
        oracle: A model that never saw the concept, trained as the other one was; without it nothing is called gone.
        unnamed: A model that saw the concept and never its name.
        never: For models of the emoji world, a thing that they never saw: mushroom, anchor, snowman or octopus.
        attack: The attack to take, once for each; by default all that cost little.
        by: Who says whether a picture shows the concept; by default the emoji world's judge, and clip for other models.
        minutes: The time that it may take; the best plan for it is chosen.
        quick: Take few pictures: it can then say not erased, hidden or inconclusive.
        steps: Steps of the solver for a picture.
        guidance_scale: How strongly the prompt guides.
        seed: The seed of all chance.
        out: The folder to write to; audited/CONCEPT by default.
    """

    oracle: str | None = None
    unnamed: str | None = None
    never: str = "mushroom"
    attack: tuple[str, ...] = ()
    by: str | None = None
    minutes: float | None = None
    quick: bool = False
    steps: PositiveInt = 20
    guidance_scale: float = 4.0
    seed: UInt32 = 0
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None

    def check(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            BadArgument: Something is no time, no number or no place.
            UnknownName: There is no such attack or judge.
        """
        from turpentine.emoji.world import UNSEEN

        check_judge_flag(self.by)
        if self.minutes is not None and not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise BadArgument(f"--minutes is {self.minutes}: give a number above 0.")
        if not math.isfinite(self.guidance_scale):
            raise BadArgument(f"--guidance-scale is {self.guidance_scale}: give a finite number.")
        if self.never not in UNSEEN:
            raise BadArgument(f"There are no pictures of {self.never!r}: choose one of {', '.join(UNSEEN)}.")
        for name in self.attack:
            find(name, "attack")
        check_folder(self.out or AUDITED)

    def attacks(self) -> list[Attack]:
        """Return the attacks that are named, or all that cost little."""
        if self.attack:
            return [find(name, "attack").defaults() for name in self.attack]
        return affordable_attacks()

    def trial(self) -> Trial:
        """Return how pictures are drawn."""
        from turpentine.attack import Trial

        return Trial(steps=self.steps, guidance_scale=self.guidance_scale)


def audit(
    file: Path,
    /,
    *,
    concept: str | None = None,
    choice: Annotated[AuditChoice, AuditFlags] = AuditChoice(),
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    json: Json = False,
) -> int:
    """Say whether an erased concept is gone, unnamed, hidden, weakened or not erased, and why.

    Attacks run on the edited model and, with the same budget, on the model without the edit, on one that never saw the
    concept where there is one, and on controls. The exit code is 0 for gone and 3 for anything else. A run that was
    broken off goes on with the same command.

    Args:
        file: The edit or guidance, or the folder of a run of turpentine erase.
        concept: What is to be gone; by default what the edit erased.
        choice: What it is held against, and how long that may take.
        source: The model that the edit is of, and where it runs.
        json: Print one JSON document, also of an error.

    Raises:
        BadArgument: There is nothing to hold it against, or nobody to judge.

    Example:
        turpentine audit runs/church-uce --oracle runs/emoji-without-church-0
    """
    choice.check()
    source.check()
    if concept is not None and not concept.strip():
        raise BadArgument("There is no concept: name what is to be gone, such as --concept church.")
    if concept:
        check_words([concept], source.model)
    from turpentine.edits.files import check_change

    check_change(file)
    run = _AuditCommand(file, concept, choice, source)
    plan = run.plan()
    if not json:
        say_prose(plain(plan.summary()))
    audited = run.audited(plan)
    files = run.write(audited)
    if json:
        say_json({**audited.numbers(), "files": [str(each) for each in files]})
        return audited.exit_code
    say_prose(plain(audited.summary()))
    for path in files:
        say(plain(str(path)))
    return audited.exit_code


class _AuditCommand:
    """One call of the command."""

    def __init__(self, file: Path, concept: str | None, choice: AuditChoice, source: ModelChoice) -> None:
        from turpentine.edits.files import read_change
        from turpentine.judges.worlds import world_of_model
        from turpentine.tasks.erasure_cases import named_concept

        self._choice, self._source = choice, source
        self.model: Model = source.load()
        self._change: Change = read_change(file, self.model)
        text = concept or erased_concept(self._change, "be gone")
        warn_of_unknown_words(self.model, [text])
        self.concept = named_concept(text)
        self.out = choice.out or AUDITED / safe_name(text)
        self._is_world = world_of_model(self.model) is not None
        if not self._is_world and choice.oracle is None:
            raise BadArgument(
                f"There is nothing to hold attacks on {self.model.name} against: give --oracle, a model that never saw "
                "the concept."
            )
        self._attacks, self.judge = choice.attacks(), judge_of_concept(self._choice.by, self.model, self.concept)

    def plan(self) -> AuditPlan:
        """Return what fits into the time, by how long a few rows of the denoiser take."""
        from turpentine.audit.plan import plan_audit
        from turpentine.models.speed import seconds_a_row

        choice = self._choice
        arms = 3 + self._is_world + (choice.oracle is not None) + (choice.unnamed is not None)
        seconds = seconds_a_row(self.model, 8)
        return plan_audit(
            self._attacks,
            choice.trial(),
            arms=arms,
            row_seconds=seconds,
            minutes=choice.minutes,
            quick=choice.quick,
        )

    def audited(self, plan: AuditPlan) -> Audited:
        """Run the audit of a plan."""
        from turpentine.attack import Victim, unseen
        from turpentine.audit.audit import Audit

        choice = self._choice
        audit = Audit.planned(plan, self._attacks, trial=choice.trial(), seed=choice.seed)
        with progress_bar("Auditing", "stages") as progress:
            return audit(
                Victim(self.model, (self._change,)),
                self.concept,
                original=self.model,
                judge=self.judge,
                oracle=self._other(choice.oracle),
                unnamed=self._other(choice.unnamed),
                never=unseen(choice.never) if self._is_world else None,
                cache=self.out / "parts",
                progress=progress,
            )

    def write(self, audited: Audited) -> list[Path]:
        """Write the page and all files, and return their paths."""
        from turpentine.report.audit_page import write_audit_page

        return [*audited.write(self.out), write_audit_page(audited, self.out / PAGE)]

    def _other(self, name: str | None) -> Model | None:
        return None if name is None else replace(self._source, model=name).load()
