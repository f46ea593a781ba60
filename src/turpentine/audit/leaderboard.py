"""A leaderboard: for each method what is erased, kept, attacked and audited, and what its edits take, in one table.

The bench, the bench of attacks and the audits lie in one folder and share its edits, searches and pictures; what is
there is not done again, so that another method costs its own work alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import polars as pl

from turpentine.attack.controls import unseen
from turpentine.attack.harness import plain_settings
from turpentine.attack.victim import Victim
from turpentine.audit.audit import Audit
from turpentine.bench.attack_bench import AttackTable, run_attack_bench
from turpentine.bench.attack_estimate import AttackEstimate, estimate_attacks
from turpentine.bench.attack_jobs import PARTS, ModelJobs, edit_of
from turpentine.bench.leaderboard_file import LeaderboardSpec
from turpentine.bench.lines import Line, Number, pooled
from turpentine.bench.schema import ModelEntry
from turpentine.bench.table import HITS, Table
from turpentine.core.errors import TurpentineError
from turpentine.core.hashing import digest
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.progress import Progress
from turpentine.emoji.oracles import oracles_of
from turpentine.models import Model
from turpentine.models.identity import describe
from turpentine.runs import backends
from turpentine.runs.batch_size import settled
from turpentine.runs.estimate import Expected, estimate
from turpentine.runs.plan import Plan
from turpentine.runs.results import Results
from turpentine.runs.specs import EditSpec, ModelSpec
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress
from turpentine.stats.intervals import Rate

PHASES: Mapping[str, tuple[str, str]] = {
    **backends.PHASES,
    "attacks": ("Attacking", "jobs"),
    "audits": ("Auditing", "edits"),
}
"""Label and unit of each phase, for bars of progress."""
REVISION = 1
"""Goes up when an audit comes to another verdict from the same settings."""
NOT_ASKED = "not asked"
NAMED, OTHERS = "erased", "other"
"""The groups of cases that stand in the table."""
SCHEMA: Mapping[str, Any] = {
    **{"model": pl.String, "method": pl.String, "concepts": pl.Int64, "pictures": pl.Int64},
    **{"erased": pl.Float64, "erased_low": pl.Float64, "erased_high": pl.Float64},
    **{"kept": pl.Float64, "kept_low": pl.Float64, "kept_high": pl.Float64},
    **{"attack": pl.String, "attacked": pl.Float64, "attacked_low": pl.Float64, "attacked_high": pl.Float64},
    **{"audited": pl.String, "seconds": pl.Float64, "bytes": pl.Int64},
}


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """What a leaderboard came to.

    Attributes:
        title: Of the table.
        measured: The table of the bench.
        attacked: The table of the bench of attacks.
        verdicts: Of the audit of each edit, by model, method and concept; empty where none was asked for.
        errors: What could not be done, by model, concept and method, and why.
    """

    title: str
    measured: Table
    attacked: AttackTable
    verdicts: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """A row for each model and method, the unedited model with the method "".

        `concepts` that are erased one after the other; `pictures` of all together; `erased`, the rate of what is asked
        for by name and still comes, and `kept`, that of others of its kind, each with an interval over concepts and
        prompts; `attacked`, what the `attack` that brings most brings back, with an interval over concepts; `audited`,
        how many verdicts of each kind; `seconds` to make an edit and `bytes` of it, in the mean. Null where there is
        nothing.
        """
        return pl.DataFrame([self._row(line) for line in pooled(self.measured)], schema=SCHEMA)

    def _row(self, line: Line) -> dict[str, Any]:
        method, count = "" if line.is_unedited else line.method, len(line.conditions)
        numbers = {each.column.group: each for each in line.numbers if each and each.column.measure == str(HITS)}
        return {
            **{"model": line.model, "method": method, "concepts": count},
            "pictures": sum(each.pictures for each in numbers.values()),
            **_rate("erased", numbers.get(NAMED)),
            **_rate("kept", numbers.get(OTHERS)),
            **(self._attack(line.model, method) if method else {}),
            "audited": self._verdicts(line.model, method) if method else None,
            "seconds": None if line.seconds is None else line.seconds / count,
            "bytes": None if line.bytes is None else line.bytes // count,
        }

    def _attack(self, model: str, method: str) -> dict[str, Any]:
        """Return what the attack that brings most back brings back of a method's edits."""
        strongest = self.attacked.strongest(model, method)
        if strongest is None:
            return {}
        attack, rate = strongest
        return {"attack": attack, **_rate("attacked", rate)}

    def _verdicts(self, model: str, method: str) -> str:
        own = [word for (of, by, _), word in self.verdicts.items() if (of, by) == (model, method)]
        return ", ".join(f"{word} {count}" for word, count in Counter(own).items()) or NOT_ASKED


def _rate(name: str, number: Number | Rate | None) -> dict[str, Any]:
    if number is None:
        return {}
    return {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}


@dataclass(frozen=True, eq=False)
class LeaderboardRun:
    """A leaderboard that is over, with what its pages are made of.

    Attributes:
        board: What it came to.
        plan: Of the bench.
        store: Of the bench.
        results: Of the bench.
    """

    board: Leaderboard
    plan: Plan
    store: Store
    results: Results


def run_leaderboard(
    spec: LeaderboardSpec,
    folder: Path,
    load: Callable[[ModelEntry], Model],
    progress: PhaseProgress | None = None,
) -> LeaderboardRun:
    """Draw, attack and audit; the same call goes on from where it broke off, and does what is missing alone.

    Args:
        spec: From the file.
        folder: Of all three.
        load: Loads a model as the file writes it.
        progress: Called as `progress(phase, done, total)`, see `PHASES`.

    Raises:
        BadArgument: The lines cannot be drawn or judged, or another bench is at work in the folder.
    """
    models, report = {entry.source: load(entry) for entry in spec.attacked.models}, progress or _silent
    sources = {name: ModelSpec.of(model, name) for name, model in models.items()}
    store = Store(folder)
    plan = _planned(spec, models, sources, store)
    results = backends.run(
        plan, store, progress=report, models={sources[name]: model for name, model in models.items()}
    )
    attacked = run_attack_bench(spec.attacked, folder, lambda entry: models[entry.source], partial(report, "attacks"))
    audits = _Audits(spec, folder, models, load)
    verdicts, errors = audits.verdicts(partial(report, "audits")) if spec.audited else ({}, {})
    errors = {**attacked.skipped, **attacked.errors, **errors}
    table = spec.measured.table(plan, results, store)
    return LeaderboardRun(Leaderboard(spec.title, table, attacked, verdicts, errors), plan, store, results)


def _planned(
    spec: LeaderboardSpec, models: Mapping[str, Model], sources: Mapping[str, ModelSpec], store: Store
) -> Plan:
    """Return the plan of what is measured, with as many pictures at a time as the free memory allows."""
    protocols = {
        source: settled(spec.measured.protocol_on(models[name]), models[name], source, store)
        for name, source in sources.items()
    }
    return spec.measured.plan(lambda entry: sources[entry.source], protocols.__getitem__)


@dataclass(frozen=True)
class LeaderboardEstimate:
    """What is left of a leaderboard.

    Attributes:
        measured: Of the bench.
        attacked: Of the bench of attacks.
        audits_left: Edits that are not audited yet.
    """

    measured: Expected
    attacked: AttackEstimate
    audits_left: int

    def numbers(self) -> dict[str, Any]:
        """Return all of it, as JSON has it."""
        return asdict(self)


def estimate_leaderboard(
    spec: LeaderboardSpec, folder: Path, load: Callable[[ModelEntry], Model]
) -> LeaderboardEstimate:
    """Estimate what is left of a leaderboard; nothing is written.

    Args:
        spec: From the file.
        folder: Of the leaderboard, which need not be there.
        load: Loads a model as the file writes it.
    """
    models = {entry.source: load(entry) for entry in spec.attacked.models}
    sources = {name: ModelSpec.of(model, name) for name, model in models.items()}
    plan = _planned(spec, models, sources, Store(folder))
    attacked = estimate_attacks(spec.attacked, folder, lambda entry: models[entry.source])
    left = _Audits(spec, folder, models, load).left() if spec.audited else 0
    return LeaderboardEstimate(estimate(plan, Store(folder)), attacked, left)


class _Audits:
    """The audits of a leaderboard, a verdict for each edit, stored.

    Args:
        spec: Of the leaderboard, which asks for audits.
        folder: Of the leaderboard.
        models: By the names that the file has for them.
        load: Loads an oracle.
    """

    def __init__(
        self,
        spec: LeaderboardSpec,
        folder: Path,
        models: Mapping[str, Model],
        load: Callable[[ModelEntry], Model],
    ) -> None:
        self._spec, self._folder, self._load = spec, folder, load
        self._records: Parts[str] = Parts(folder / PARTS, "audits of a leaderboard", RECORDS)
        self._oracles: dict[tuple[str, bool], list[Model]] = {}
        self._jobs = [ModelJobs(spec.attacked, entry, models[entry.source], folder) for entry in spec.attacked.models]

    def left(self) -> int:
        """Return how many edits are not audited yet."""
        keys = [self._key(jobs, edit) for jobs in self._jobs for edit in jobs.edit_specs]
        return len(set(keys) - self._records.present(keys))

    def verdicts(self, progress: Progress) -> tuple[dict[tuple[str, str, str], str], dict[str, str]]:
        """Return the verdict of each edit by model, method and concept, and why there is none of some."""
        verdicts, errors = dict[tuple[str, str, str], str](), dict[str, str]()
        pairs = [(jobs, edit) for jobs in self._jobs for edit in jobs.edit_specs]
        for number, (jobs, edit) in enumerate(pairs, 1):
            name, text = jobs.model.name, edit.concepts[0].text
            try:
                verdicts[name, edit.name, text] = self._verdict(jobs, edit)
            except TurpentineError as error:
                errors[f"{name}, {text}, {edit.name}, audit"] = str(error)
            progress(number, len(pairs))
        return verdicts, errors

    def _verdict(self, jobs: ModelJobs, edit: EditSpec) -> str:
        return self._records.part(self._key(jobs, edit), lambda: self._audited(jobs, edit))

    def _audited(self, jobs: ModelJobs, edit: EditSpec) -> str:
        model, attacked = jobs.model, self._spec.attacked
        audited = self._audit(jobs)(
            Victim(model, (edit_of(jobs.edits, edit, model),)),
            edit.concepts[0],
            original=model,
            judge=attacked.judge.judge,
            oracle=self._oracles_of(edit) or None,
            unnamed=self._oracles_of(edit, unnamed=True) or None,
            never=unseen(attacked.never[0]),
            second=None,
            cache=self._folder / PARTS,
        )
        return audited.verdict

    def _audit(self, jobs: ModelJobs) -> Audit:
        how = self._spec.audited
        assert how is not None
        return Audit(
            [entry.method_for(jobs.model.name) for entry in self._spec.attacked.attacks],
            how.pictures,
            jobs.budget,
            jobs.trial,
            others=how.others,
            seed=self._spec.attacked.seeds[0],
        )

    def _key(self, jobs: ModelJobs, edit: EditSpec) -> str:
        audit, judge = self._audit(jobs), self._spec.attacked.judge.judge
        oracles = [self._oracles_of(edit, unnamed=unnamed) for unnamed in (False, True)]
        return digest(
            [
                *(REVISION, edit.key, [[each.name, plain_settings(each)] for each in audit.attacks]),
                *(audit.pictures, audit.others, audit.deep, audit.seed, asdict(audit.rules)),
                *(jobs.trial.fields, asdict(audit.budget), [judge.name, judge.revision, dict(judge.settings)]),
                *([[describe(each) for each in several] for several in oracles], self._spec.attacked.never[0]),
            ]
        )

    def _oracles_of(self, edit: EditSpec, *, unnamed: bool = False) -> list[Model]:
        """Return the models that are here and never saw the concept of an edit, or never its name."""
        concept = edit.concepts[0].text
        if (concept, unnamed) not in self._oracles:
            names = oracles_of(concept, unnamed=unnamed)
            self._oracles[concept, unnamed] = [self._load(ModelEntry(name)) for name in names]
        return self._oracles[concept, unnamed]


def _silent(phase: str, done: int, total: int) -> None:
    return None
