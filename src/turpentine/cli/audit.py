"""`turpentine audit`: a verdict on edits, with the evidence on one page and an exit code for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

from cyclopts import Parameter

from turpentine.cli.attacked_edit import erased_concept
from turpentine.cli.audit_choice import AUDITED, AUTO, AuditChoice, AuditFlags
from turpentine.cli.checks import check_words
from turpentine.cli.options import (
    NO_JUDGE,
    Json,
    ModelChoice,
    ModelFlags,
    judge_called,
    judge_of_concept,
    warn_of_unknown_words,
)
from turpentine.cli.progress_bars import progress_bar
from turpentine.cli.reference_choice import ReferenceChoice
from turpentine.cli.terminal import plain, say, say_json, say_prose
from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import safe_name
from turpentine.edits.places import check_readable

if TYPE_CHECKING:
    from turpentine.attack import Victim
    from turpentine.audit.audited import Audited
    from turpentine.audit.calibration import Calibration
    from turpentine.audit.comparison import Comparison
    from turpentine.audit.plan import AuditPlan
    from turpentine.concepts import Concept
    from turpentine.judges import Judge
    from turpentine.models import Model

PAGE, COMPARISON_PAGE = "audit.html", "comparison.html"
QUICK_MINUTES = 5.0
PLAIN_NAMES = ("edit", "guidance")
"""Of files whose folder says more than they do."""
SEVERAL = "several"
"""The folder of audits of different concepts."""


def audit(
    *files: Path,
    concept: str | None = None,
    choice: Annotated[AuditChoice, AuditFlags] = AuditChoice(),
    given: Annotated[ReferenceChoice, AuditFlags] = ReferenceChoice(),
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    json: Json = False,
    line: Annotated[str, Parameter(parse=False)] = "",
) -> int:
    """Say whether an erased concept is gone, unnamed, hidden, weakened or not erased, and why.

    Attacks run on the edited model and, with the same budget, on the model without the edit, on one that never saw the
    concept where there is one, and on controls. The exit code is 0 for gone and 3 for anything else. Several edits are
    compared in one table. A run that was broken off goes on with the same command.

    Args:
        files: The edit or guidance, or the folder of a run of turpentine erase; several are compared. Left out for
            a model that others edited: --model EDITED --original BASE.
        concept: What is to be gone; by default what the edit erased.
        choice: What it is held against, and how long that may take.
        given: Pictures that attacks are given.
        source: The model that the edit is of, and where it runs.
        json: Print one JSON document, also of an error.
        line: The command line, for the page.

    Raises:
        BadArgument: There is nothing to hold it against, or nobody to judge.

    Example:
        turpentine audit runs/church-uce --quick
    """
    given.check()
    _check(files, concept, choice, source)
    run = _AuditCommand(files, concept, choice, given, source)
    plan = run.plan()
    if not json:
        for text in (*run.notes, plan.summary()):
            say_prose(plain(text))
    audits = {name: run.audited(name, plan) for name in run.subjects}
    first = next(iter(audits.values()))
    written = run.write(audits, line)
    code = max(each.exit_code for each in audits.values())
    if json:
        numbers = first.numbers() if len(audits) == 1 else run.comparison(audits).numbers()
        say_json({**numbers, "files": [str(each) for each in written]})
        return code
    for audited in audits.values():
        say_prose(plain(audited.summary()))
    for path in written:
        say(plain(str(path)))
    return code


def _check(files: Sequence[Path], concept: str | None, choice: AuditChoice, source: ModelChoice) -> None:
    """Check what can be checked before a model is loaded."""
    from turpentine.models.loading.source import check_source

    choice.check()
    source.check()
    if concept is not None and not concept.strip():
        raise BadArgument("There is no concept: name what is to be gone, such as --concept church.")
    if choice.original is not None:
        if files:
            raise BadArgument("An edit's file is of --model: leave out --original, or the file.")
        if concept is None:
            raise BadArgument("A whole model does not say what was erased: name it, such as --concept church.")
        check_source(choice.original)
    elif not files:
        raise BadArgument(
            "There is no edit to audit: write turpentine audit runs/church-uce, or --model EDITED --original BASE."
        )
    if concept:
        check_words([concept], choice.original or source.model, force=None)
    for file in files:
        check_readable(file)
    if files:
        from turpentine.edits.files import check_change  # which takes torch along

        for file in files:
            check_change(file)


@dataclass(frozen=True, eq=False)
class _Suspect:
    """What is audited.

    Attributes:
        edited: The edited model.
        concept: What is to be gone from it.
    """

    edited: Victim
    concept: Concept


@dataclass(frozen=True, eq=False)
class _Beside:
    """What edits of one concept are held against.

    Attributes:
        judge: Who looks.
        oracles: Those that never saw it.
        unnamed: Those that never saw its name.
    """

    judge: Judge
    oracles: list[Model]
    unnamed: list[Model]


class _AuditCommand:
    """One call of the command."""

    def __init__(
        self,
        files: Sequence[Path],
        concept: str | None,
        choice: AuditChoice,
        given: ReferenceChoice,
        source: ModelChoice,
    ) -> None:
        from turpentine.judges.worlds import world_of_model

        self._choice, self._given, self._source = choice, given, source
        self.notes: list[str] = []
        self.model: Model = replace(source, model=choice.original or source.model).load()
        self._is_world = world_of_model(self.model) is not None
        self.subjects = self._subjects(files, concept)
        concepts = {each.concept.text: each.concept for each in self.subjects.values()}
        if given.references and len(concepts) > 1:
            raise BadArgument(f"--references are of one concept, and these edits are of {', '.join(concepts)}.")
        warn_of_unknown_words(self.model, list(concepts))
        self.out = choice.out or AUDITED / (safe_name(next(iter(concepts))) if len(concepts) == 1 else SEVERAL)
        self._attacks, self._never = choice.attacks(), given.never_of(self.model, choice.by)
        self._beside = {text: self._held_against(each) for text, each in concepts.items()}

    def _subjects(self, files: Sequence[Path], concept: str | None) -> dict[str, _Suspect]:
        """Return what is audited, by names that make folders; an edit of another base is refused here."""
        from turpentine.attack import Victim
        from turpentine.edits.files import read_change
        from turpentine.tasks.erasure_cases import named_concept

        subjects: dict[str, _Suspect] = {}
        if not files:
            whole = Victim(self._source.load())
            subjects[safe_name(whole.model.name)] = _Suspect(whole, named_concept(str(concept)))
        for file in files:
            change = read_change(file, self.model)
            text = concept or erased_concept(change, "be gone")
            subjects[_unused(file, subjects)] = _Suspect(Victim(self.model, (change,)), named_concept(text))
        for subject in subjects.values():
            subject.edited.facts()
        return subjects

    def _held_against(self, concept: Concept) -> _Beside:
        judge = judge_of_concept(self._choice.by, self.model, concept)
        named = {
            unnamed: self._choice.oracles(concept.text, unnamed=unnamed, is_world=self._is_world)
            for unnamed in (False, True)
        }
        if not named[False] and self._never is None:
            raise BadArgument(
                f"There is nothing to hold attacks on {self.model.name} against: give --oracle, a model that never saw "
                "the concept, or --never and --never-references, a concept that the model never saw and pictures of it."
            )
        if named[False]:
            self.notes.append(f"Beside it: {', '.join([*named[False], *named[True]])}.")
        else:
            self.notes.append(_without_oracle(concept.text, is_world=self._is_world))
        return _Beside(judge, *([self._load(name) for name in names] for names in named.values()))

    def _load(self, name: str) -> Model:
        return replace(self._source, model=name).load()

    def plan(self) -> AuditPlan:
        """Return what fits into the time, by how long a few rows of the denoiser take.

        A quick audit has five minutes if no other time is given, and is the least where those do not reach.
        """
        from turpentine.audit.audit import DEEP
        from turpentine.audit.deep import deep_rows
        from turpentine.audit.plan import plan_audit
        from turpentine.models.speed import seconds_a_row

        trial, edits = self._choice.trial(self.model), len(self.subjects)
        has_oracles = any(each.oracles for each in self._beside.values())
        choice, oracles = self._choice, [len(each.oracles) + len(each.unnamed) for each in self._beside.values()]
        planned = partial(
            plan_audit,
            self._attacks,
            trial,
            arms=3 + (self._never is not None) + max(oracles),
            row_seconds=seconds_a_row(self.model, 8),
            quick=choice.quick,
            pictures=choice.pictures,
            edits=edits,
            deep=deep_rows(self.model, trial, DEEP, edits=edits) if has_oracles else 0,
        )
        if choice.quick and choice.minutes is None:
            return planned(minutes=QUICK_MINUTES, at_least=True)
        return planned(minutes=choice.minutes)

    def audited(self, name: str, plan: AuditPlan) -> Audited:
        """Run the audit of one edit by a plan."""
        from turpentine.audit.audit import Audit

        choice, subject = self._choice, self.subjects[name]
        beside = self._beside[subject.concept.text]
        audit = Audit.planned(
            plan, self._attacks, trial=choice.trial(self.model), budget=choice.budget(), seed=choice.seed
        )
        with progress_bar(f"Auditing {plain(name)}", "stages") as progress:
            return audit(
                subject.edited,
                subject.concept,
                original=self.model,
                judge=beside.judge,
                oracle=beside.oracles or None,
                unnamed=beside.unnamed or None,
                never=self._never,
                references=self._given.pictures(),
                second=self._second(),
                judge_error=self._calibration(subject.concept, beside.judge),
                cache=self.out / "parts",
                progress=progress,
            )

    def _second(self) -> Judge | Literal["auto"] | None:
        name = self._choice.second
        if name == AUTO:
            return "auto"
        return None if name == NO_JUDGE else judge_called(name, self.model.name)

    def _calibration(self, concept: Concept, judge: Judge) -> Calibration | None:
        from turpentine.attack.harness import concept_judge
        from turpentine.audit.calibration import read_calibration

        path = self._choice.judge_error
        return None if path is None else read_calibration(path, concept_judge(judge, concept), concept)

    def write(self, audits: Mapping[str, Audited], line: str) -> list[Path]:
        """Write the page and all files of each audit, and a table of several, and return their paths."""
        from turpentine.report.audit_page import write_audit_page
        from turpentine.report.comparison_page import write_comparison_page

        several, written = len(audits) > 1, list[Path]()
        for name, audited in audits.items():
            folder = self.out / name if several else self.out
            written += [*audited.write(folder), write_audit_page(audited, folder / PAGE, command=line)]
        if several:
            comparison, page = self.comparison(audits), self.out / COMPARISON_PAGE
            pages = {name: f"{quote(name)}/{PAGE}" for name in audits}
            written += [*comparison.write(self.out), write_comparison_page(comparison, page, pages=pages, command=line)]
        return written

    def comparison(self, audits: Mapping[str, Audited]) -> Comparison:
        """Return the audits side by side."""
        from turpentine.audit.comparison import Comparison

        texts = dict.fromkeys(each.concept.text for each in self.subjects.values())
        return Comparison(audits, f"{', '.join(texts)}: {len(audits)} edits of {self.model.name}")


def _unused(file: Path, subjects: Mapping[str, object]) -> str:
    """Return a name for a file that makes a folder and that no other one has: its own, or its folder's."""
    path = file.absolute()
    name = safe_name(path.parent.name if path.stem in PLAIN_NAMES else path.name if path.is_dir() else path.stem)
    number = next(number for number in count(1) if (f"{name}-{number}" if number > 1 else name) not in subjects)
    return f"{name}-{number}" if number > 1 else name


def _without_oracle(text: str, *, is_world: bool) -> str:
    """Say what it takes to have an oracle of a concept."""
    if is_world:
        return (
            f"No oracle of {text} ships with this version or lies in runs, so that nothing can be called gone: "
            f"python -m turpentine.emoji oracle {text!r} trains one."
        )
    return (
        "There is no oracle, so that nothing can be called gone: --oracle names a model that was trained as this one "
        f"was and never saw {text}."
    )
