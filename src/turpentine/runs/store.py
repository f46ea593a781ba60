"""The folder of a bench: pictures, how they were drawn, scores, edits, and leases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import polars as pl
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.parts import TABLES, discard_damaged, parts_in
from turpentine.runs.batches import Batch
from turpentine.runs.drawing import BatchImages
from turpentine.runs.edit_store import EditStore
from turpentine.runs.images import Images
from turpentine.runs.leases import Leases, held
from turpentine.runs.ledger import Ledger, LedgerError, LostPart
from turpentine.runs.plan import Job, Plan
from turpentine.runs.plan_file import read_plan, write_plan
from turpentine.runs.specs import JudgeSpec

PLAN, RESULTS = "plan.json", "results.parquet"


class Store:
    """A bench on disk. Any number of processes, on any number of machines, may work on it at once.

    What is done is what its parts hold; all files appear whole or not at all:
        plan.json: the work.
        images/: each picture once.
        draws/: a part for each batch: item, prompt, seed, image, error, seconds.
        scores/: by judge, a part for each batch: the judge's columns, error.
        edits/: each edit once.
        leases/: who works on what.
        results.parquet: a row for each line, case and seed, once all is done.

    Args:
        folder: Where it is, or will be.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.images = Images(self.folder / "images")
        self.draws = Ledger(self.folder / "draws", ["draws", list(_COLUMNS)])
        self.edits = EditStore(self.folder / "edits")
        self._scores: dict[JudgeSpec, Ledger] = {}
        if self.folder.exists() and not self.folder.is_dir():
            raise LedgerError(f"{self.folder} is a file: choose another folder.")

    def scores(self, judge: JudgeSpec) -> Ledger:
        """Return the ledger of a judge's scores."""
        if judge not in self._scores:  # asked for at every batch: its name is a digest
            folder = self.folder / "scores" / judge.digest[:16]
            self._scores[judge] = Ledger(folder, ["scores", judge.facts, judge.columns])
        return self._scores[judge]

    @property
    def leases(self) -> Path:
        """The folder of the leases."""
        return self.folder / "leases"

    @property
    def results(self) -> Path:
        """The file of the results."""
        return self.folder / RESULTS

    def begin(self, plan: Plan, threads: int | None = None, default: int = 1) -> int:
        """Write the plan for workers that join, and return how many threads each worker uses.

        What a network computes depends, in its last bits, on the number of threads, so it is settled once for a folder.

        Args:
            plan: The work.
            threads: Of each worker; None for `default`, or for what the folder was begun with.
            default: Threads where nobody says.

        Raises:
            LedgerError: The folder is a newer Turpentine's, or damaged.
            BadArgument: The folder was begun with another number of threads, or another bench is at work there.
        """
        path = self.folder / PLAN
        self._check_free(plan)
        settled = self.planned()[1] if path.exists() else threads or default
        if threads not in (None, settled):
            raise BadArgument(
                f"The bench in {self.folder} was begun with {settled} threads a worker: leave it at that."
            )
        write_plan(path, plan, settled)
        return settled

    @contextmanager
    def at_work(self, plan: Plan) -> Iterator[None]:
        """Show to other processes, inside a `with` block, that this one works on a plan."""
        leases = Leases(self.leases)
        leases.take(f"{_at_work(plan)}-{uuid4().hex}")
        try:
            yield
        finally:
            leases.close()

    def planned(self) -> tuple[Plan, int]:
        """Read what is to be done.

        Returns:
            The plan, and the threads of each worker.

        Raises:
            LedgerError: The folder holds no plan, or a damaged one.
        """
        return read_plan(self.folder / PLAN)

    def missing(self, plan: Plan) -> list[Job]:
        """Return the jobs that are not done, in the plan's order, by one look into each folder."""
        drawn_keys = self.draws.present(job.batch.key for job in plan.jobs)
        scored = {
            judge: self.scores(judge).present(plan.score_key(job, judge) for job in plan.jobs if judge in job.judges)
            for judge in plan.judges
        }
        return [
            job
            for job in plan.jobs
            if job.batch.key not in drawn_keys or any(plan.score_key(job, j) not in scored[j] for j in job.judges)
        ]

    def is_done(self, plan: Plan, job: Job) -> bool:
        """Return whether a job is done, whoever did it."""
        return job.batch.key in self.draws and all(
            plan.score_key(job, judge) in self.scores(judge) for judge in job.judges
        )

    def has_references(self, plan: Plan, job: Job) -> bool:
        """Return whether the pictures that a job's are compared with are there."""
        if not job.compares or job.batch.draw_spec.edit_spec is None:
            return True
        return all(batch.key in self.draws for batch in plan.references(job))

    def references(self, plan: Plan, job: Job, drawn_batch: BatchImages) -> list[Image.Image | None]:
        """Return the unedited model's picture for each of a job's.

        Args:
            plan: The work.
            job: Whose pictures are compared.
            drawn_batch: The job's own pictures; those of the unedited model are their own references.

        Raises:
            LostPart: One is missing, or was damaged and has been removed.
        """
        batches = {job.batch.key: drawn_batch}
        for batch in plan.references(job):
            if batch.key not in batches:
                batches[batch.key] = self._reference_batch(batch)
        pairs = zip(job.batch.pairs, plan.references(job), strict=True)
        return [batches[batch.key].images[batch.pairs.index(pair)] for pair, batch in pairs]

    def put_batch(self, drawn_batch: BatchImages, seconds: float) -> None:
        """Store a batch: its pictures, then the part that names them.

        Args:
            drawn_batch: The pictures.
            seconds: Time that drawing them took.

        Raises:
            OSError: As the file system does.
        """
        names = iter(self.images.put([image for image in drawn_batch.images if image is not None]))
        prompts, seeds = zip(*drawn_batch.batch.pairs, strict=True)
        part = {
            "item": [item.key for item in drawn_batch.batch.items],
            "prompt": prompts,
            "seed": seeds,
            "image": [None if image is None else next(names) for image in drawn_batch.images],
            "error": drawn_batch.errors,
            "seconds": [seconds / len(drawn_batch.batch)] * len(drawn_batch.batch),
        }
        self.draws.put(drawn_batch.batch.key, pl.DataFrame(part, schema=_COLUMNS))

    def load_batch(self, batch: Batch) -> BatchImages | None:
        """Return a batch as it was stored; None where it was not, or, with a warning, where a file is damaged."""
        part = self.draws.get(batch.key)
        if part is None:
            return None
        images = {name: self.images.get(name) for name in part["image"].drop_nulls()}
        lost = [name for name, image in images.items() if image is None]
        if lost:
            self.draws.discard(batch.key)
            discard_damaged(self.images.path(lost[0]))
            return None
        return BatchImages(batch, tuple(images.get(name) for name in part["image"]), tuple(part["error"]))

    def picture(self, name: str) -> Image.Image:
        """Return a picture by its name.

        Raises:
            LedgerError: It is missing or damaged; what to remove is named.
        """
        image = self.images.get(name)
        if image is None:
            raise LedgerError(
                f"The picture {self.images.path(name)} is missing or damaged: remove {self._part_of(name)} and run "
                "again, and both are made anew."
            )
        return image

    def forget_errors(self) -> int:
        """Remove the parts with errors, so that their work is done again, and return how many they were."""
        count = self.edits.forget_errors()
        for folder in (self.folder / "draws", *(self.folder / "scores").glob("*")):
            for path, part in parts_in(folder, TABLES):
                if part[_ERROR].null_count() < len(part):
                    path.unlink()
                    count += 1
        return count

    def _check_free(self, plan: Plan) -> None:
        if any(not name.startswith(_at_work(plan)) for name in held(self.leases, _AT_WORK)):
            raise BadArgument(
                f"Another bench is at work in {self.folder}: let it end, or choose another folder with --out."
            )

    def _reference_batch(self, batch: Batch) -> BatchImages:
        drawn_batch = self.load_batch(batch)
        if drawn_batch is None:
            raise LostPart(f"{self.draws.path(batch.key)} is missing: run again, and it is made anew.")
        return drawn_batch

    def _part_of(self, name: str) -> Path:
        """Return the part that names a picture; the folder of all parts where none does."""
        folder = self.folder / "draws"
        return next((path for path, part in parts_in(folder, TABLES) if name in part["image"]), folder)


_AT_WORK = "plan-"


def _at_work(plan: Plan) -> str:
    """Return the prefix of the leases that say who works on a plan."""
    return f"{_AT_WORK}{plan.digest[:16]}"


_ERROR = "error"

_COLUMNS = {
    "item": pl.String,
    "prompt": pl.String,
    "seed": pl.Int64,
    "image": pl.String,
    _ERROR: pl.String,
    "seconds": pl.Float64,
}
