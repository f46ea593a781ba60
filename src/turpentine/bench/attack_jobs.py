"""The jobs of a bench of attacks: an attack on an edit and its controls, or on what was never seen, each stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from turpentine.attack._plain import plain_pictures
from turpentine.attack.attacked import Attacked, sheet
from turpentine.attack.budget import Budget
from turpentine.attack.controls import EDITED, HIDDEN, NEVER, NO_ATTACK, ORIGINAL, battery, swapped_word, unseen
from turpentine.attack.harness import REVISION, Attack, concept_judge, plain_settings
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.bench.attack_file import AttackSpec
from turpentine.bench.schema import ModelEntry
from turpentine.concepts import Concept
from turpentine.core.atomic_files import write_whole
from turpentine.core.hashing import digest
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.progress import Progress
from turpentine.core.safe_text import safe_name
from turpentine.edits import Change
from turpentine.models import Model
from turpentine.runs.edit_store import EditStore
from turpentine.runs.specs import EditSpec, ModelSpec

PARTS, EDITS, ARTEFACTS = "parts", "edits", "artefacts"
COUNTED = 2
"""Goes up when rows come to other numbers of the same outcomes: they are counted anew then, and nothing is drawn."""
SHARED = (ORIGINAL, HIDDEN)
"""The controls that all methods have in common."""


@dataclass(frozen=True, eq=False)
class AttackJob:
    """An attack on an edit, with those of its controls that are of the same concept; or on what was never seen.

    Attributes:
        attack: With its settings.
        name: Of the attack, with settings where several are of one name.
        concept: What is to come back.
        edit_spec: Of the edit; None for what was never seen.
        seed: Of all its chance.
        key: SHA-256 of all that decides its outcome.
    """

    attack: Attack
    name: str
    concept: Concept
    edit_spec: EditSpec | None
    seed: int
    key: str

    @property
    def method(self) -> str:
        """Name of the edit's method; "" for what was never seen."""
        return self.edit_spec.name if self.edit_spec else ""


class ModelJobs:
    """The jobs of one model of a bench, and which of them are over.

    Args:
        spec: Of the bench.
        entry: The model, as the file writes it.
        model: The model.
        folder: Of the bench.
    """

    def __init__(self, spec: AttackSpec, entry: ModelEntry, model: Model, folder: Path) -> None:
        self.spec, self.model, self.folder = spec, model, folder
        self.trial, self.budget = Trial.of(model, **dict(spec.trial)), Budget(**dict(spec.budget))
        self.edits = EditStore(folder / EDITS)
        self._source = ModelSpec.of(model, entry.source)
        self._records = Parts(folder / PARTS, "jobs of a bench of attacks", RECORDS)
        self._last: tuple[str, Change] | None = None

    @cached_property
    def edit_specs(self) -> list[EditSpec]:
        """All edits, concept by concept."""
        return [
            EditSpec(self._source, method.method_for(self._source.load), (concept,), method.name)
            for concept in self.spec.concepts
            for method in self.spec.methods
        ]

    @cached_property
    def jobs(self) -> list[AttackJob]:
        """All jobs, concept by concept; what was never seen comes last."""
        attacks = [
            (entry.method_for(self._source.load), name)
            for entry, name in zip(self.spec.attacks, self.spec.attack_names, strict=True)
        ]
        edited = [
            AttackJob(attack, name, edit.concepts[0], edit, seed, self._key(attack, edit.key, seed))
            for edit in self.edit_specs
            for attack, name in attacks
            for seed in self.spec.seeds
        ]
        return edited + [
            AttackJob(attack, name, Concept(unseen), None, seed, self._key(attack, [self._source.key, unseen], seed))
            for unseen in self.spec.never
            for attack, name in attacks
            for seed in self.spec.seeds
        ]

    def over(self) -> set[str]:
        """Return the keys of the jobs that are over."""
        return self._records.present([job.key for job in self.jobs])

    def outcome(self, job: AttackJob, progress: Progress | None = None) -> Mapping[str, Any]:
        """Return the rows and curves of a job, as JSON has them; done now where it is not over.

        Raises:
            TurpentineError: The edit cannot be made, or the attack cannot run on it.
            AbsentConcept: The model does not draw the concept.
        """
        work = self._edited if job.edit_spec else self._never
        record: Mapping[str, Any] = self._records.part(job.key, lambda: work(job, progress))
        return {name: [{**row, "seed": _seed(job, row["attack"])} for row in rows] for name, rows in record.items()}

    def make_edit(self, job: AttackJob) -> None:
        """Make the edit of a job, unless it is there or the job is over.

        Raises:
            TurpentineError: It cannot be made.
        """
        if job.edit_spec and job.key not in self._records:
            self._change(job.edit_spec)

    def _key(self, attack: Any, on: Any, seed: int) -> str:
        judge = self.spec.judge.judge
        attacked = [REVISION, COUNTED, [type(attack).__name__, plain_settings(attack)], on]
        judged = [judge.name, judge.revision, dict(judge.settings)]
        return digest([*attacked, judged, self.trial.fields, asdict(self.budget), seed])

    def _how(self, job: AttackJob, progress: Progress | None) -> dict[str, Any]:
        how = {"budget": self.budget, "seed": job.seed, "cache": self.folder / PARTS, "progress": progress or _silent}
        return {**how, "original": self.model, "judge": self.spec.judge.judge}

    def _edited(self, job: AttackJob, progress: Progress | None) -> dict[str, Any]:
        assert job.edit_spec is not None
        victim = Victim(self.model, (self._change(job.edit_spec),))
        whole = battery([job.attack], victim, job.concept, trial=self.trial, **self._how(job, progress))
        rows: list[dict[str, Any]] = []
        curves: list[dict[str, Any]] = []
        plain = self._plain(job, victim)
        for row in whole.table.rows(named=True):
            arm = row["arm"]
            result = whole.outcomes.get((row["attack"], arm))
            facts = self._facts(job, arm, job.name if result else NO_ATTACK)
            rows.append({**facts, **_without(row), "outcomes": list(result.outcomes if result else plain[arm])})
            if result:
                curves += _curve(facts, result)
                self._save(job, arm, result)
        return {"rows": rows, "curves": curves}

    def _never(self, job: AttackJob, progress: Progress | None) -> dict[str, Any]:
        name, pictures, judge = unseen(job.concept.text)
        how = {**self._how(job, progress), "trial": replace(self.trial, original_rate=0), "judge": judge}
        result = job.attack(self.model, name, references=pictures, **how)
        rate = result.success
        facts = self._facts(job, NEVER, job.name)
        numbers = {"hits": rate.hits, "n": rate.n, "success": rate.value, "low": rate.low, "high": rate.high}
        self._save(job, NEVER, result)
        row = {**facts, **numbers, **asdict(result.spent), "outcomes": list(result.outcomes)}
        return {"rows": [row], "curves": _curve(facts, result)}

    def _facts(self, job: AttackJob, arm: str, attack: str) -> dict[str, Any]:
        of = {"model": self.model.name, "concept": job.concept.text, "method": job.method if arm == EDITED else ""}
        return {**of, "attack": attack, "arm": arm}

    def _plain(self, job: AttackJob, victim: Victim) -> dict[str, Sequence[bool]]:
        """Return what plain prompts show on each arm, and save their pictures; the battery has drawn them."""
        base = Victim(self.model)
        arms = {EDITED: victim, ORIGINAL: base, HIDDEN: Victim(self.model, (swapped_word(base, job.concept),))}
        shows = concept_judge(self.spec.judge.judge, job.concept)
        plain: dict[str, Sequence[bool]] = {}
        for arm, each in arms.items():
            pictures, plain[arm] = plain_pictures(each, job.concept, shows, self.trial, self.folder / PARTS)
            self._save_sheet(job, arm, NO_ATTACK, pictures)
        return plain

    def _change(self, edit_spec: EditSpec) -> Change:
        """Return the edit of a spec, made now where it is not there."""
        if self._last is None or self._last[0] != edit_spec.key:
            self._last = edit_spec.key, edit_of(self.edits, edit_spec, self.model)
        return self._last[1]

    def _save(self, job: AttackJob, arm: str, result: Attacked) -> None:
        self._save_sheet(job, arm, job.name, result.pictures)
        if arm == EDITED:
            result.artefact.save(self._path(job, arm, job.name, ".safetensors"))

    def _save_sheet(self, job: AttackJob, arm: str, attack: str, pictures: Sequence[Image.Image]) -> None:
        with write_whole(self._path(job, arm, attack, ".png")) as aside:
            sheet(pictures).save(aside, "PNG")

    def _path(self, job: AttackJob, arm: str, attack: str, suffix: str) -> Path:
        return artefact_path(self.folder, {**self._facts(job, arm, attack), "seed": _seed(job, attack)}, suffix)


def artefact_path(folder: Path, row: Mapping[str, Any], suffix: str = ".safetensors") -> Path:
    """Return where what an attack came to is, or its pictures, of a row of a bench's table.

    Args:
        folder: Of the bench.
        row: With the names of model, concept, method, attack and arm, and the seed of the search; None without one.
        suffix: ".safetensors" for the artefact, ".png" for pictures.
    """
    name = safe_name(f"{row['concept']}-{row['method'] or row['arm']}")
    number = f"-{row['seed']}" if row["seed"] else ""
    return folder / ARTEFACTS / safe_name(row["model"]) / name / f"{safe_name(row['attack'])}{number}{suffix}"


def _seed(job: AttackJob, attack: str) -> int | None:
    return None if attack == NO_ATTACK else job.seed


def edit_of(store: EditStore, edit_spec: EditSpec, model: Model) -> Change:
    """Return the edit of a spec, made now where it is not in the store."""
    record = store.record(edit_spec)
    if record is None or record.error:
        start = time.monotonic()
        with store.checkpoint(edit_spec) as checkpoint:
            change = edit_spec.method(model, edit_spec.concepts, progress=_silent, checkpoint=checkpoint)
            store.put(edit_spec, change, time.monotonic() - start)
    return store.load(edit_spec)


def _curve(facts: Mapping[str, Any], result: Attacked) -> list[dict[str, Any]]:
    return [{**facts, "stage": stage, **row} for stage, row in enumerate(result.table.rows(named=True))]


def _without(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("attack", "arm")}


def _silent(done: int, total: int) -> None:
    return None
