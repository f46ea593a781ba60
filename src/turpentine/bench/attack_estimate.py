"""What a bench of attacks would do, how much of it is done, and how long the rest may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from turpentine.attack.pace import AttackPace
from turpentine.bench.attack_file import AttackSpec
from turpentine.bench.attack_jobs import SHARED, ModelJobs
from turpentine.models import Model


@dataclass(frozen=True)
class AttackEstimate:
    """What a bench of attacks would do.

    Attributes:
        rows: Lines of the table of rates.
        searches: Runs of an attack on an arm, each control once.
        searches_left: Those that are not over.
        edits: Changes that are attacked.
        edits_left: Those that are not made.
        seconds: About how long the searches that are left take, with their new pictures, on one worker.
        edit_seconds: About how long the edits that are left take, as those that are made; None where none is.
    """

    rows: int
    searches: int
    searches_left: int
    edits: int
    edits_left: int
    seconds: float
    edit_seconds: float | None


def estimate_attacks(spec: AttackSpec, folder: Path, load: Callable[[Any], Model]) -> AttackEstimate:
    """Estimate what is left of a bench of attacks; nothing is written.

    Args:
        spec: From the file.
        folder: Of the bench, which need not be there.
        load: Loads a model as the file writes it.
    """
    rows = searches = left = edits = edits_left = 0
    seconds, times = 0.0, []
    for entry in spec.models:
        model = load(entry)
        jobs = ModelJobs(spec, entry, model, folder)
        pace, over = AttackPace.of(model), jobs.over()
        whole, rest = _runs(jobs, set()), _runs(jobs, over)
        plain = len(jobs.edit_specs) + len(SHARED) * len(spec.concepts)
        rows += len(whole) + plain
        searches, left = searches + len(whole), left + len(rest)
        records = [record for each in jobs.edit_specs if (record := jobs.edits.record(each)) and not record.error]
        times += [record.seconds for record in records]
        edits, edits_left = edits + len(jobs.edit_specs), edits_left + len(jobs.edit_specs) - len(records)
        seconds += sum(pace.of_arm(attack, jobs.trial, jobs.budget) for attack in rest.values())
        seconds += pace.of_pictures(jobs.trial) * plain * (len(rest) > 0)
    return AttackEstimate(
        rows, searches, left, edits, edits_left, seconds, edits_left * fmean(times) if times else None
    )


def _runs(jobs: ModelJobs, over: set[str]) -> dict[tuple[Any, ...], Any]:
    """Return the attack of each run that a job which is not over would do, each control once."""
    shared = {(job.name, job.concept.text, job.seed) for job in jobs.jobs if job.key in over}
    runs: dict[tuple[Any, ...], Any] = {}
    for job in jobs.jobs:
        if job.key in over:
            continue
        search = (job.name, job.concept.text, job.seed)
        runs[*search, job.method] = job.attack
        if job.edit_spec and search not in shared:
            runs |= {(*search, "", arm): job.attack for arm in SHARED}
    return runs
