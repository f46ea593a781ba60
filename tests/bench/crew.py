"""A small bench, and workers for it as processes that can be killed."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from bench.stubs import Nudge, StubJudge
from PIL import Image
from processes import CONTEXT
from tiny import tiny_sd1

from turpentine.concepts import Concept
from turpentine.core.signals import sigterm_interrupts
from turpentine.judges.base import Column
from turpentine.models import Model
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.runs.store import Store
from turpentine.runs.worker import Worker
from turpentine.tasks.cases import Case

THINGS = ("church", "dog", "cat", "car", "house", "truck", "fish", "horn")
PROTOCOL = Protocol(steps=1, guidance_scale=1.0, seeds=(0, 1, 2, 3), batch_size=2)
FEW, SMALL = THINGS[:2], replace(PROTOCOL, seeds=(0, 1))


class Distance:
    """How far a picture is from the unedited model's."""

    name, revision, download = "distance", "1", None
    settings: Mapping[str, Any] = {}
    needs = frozenset({"reference"})
    columns: Mapping[str, Column] = {"distance": Column(0, 1)}

    def __call__(self, images: Sequence[Image.Image], *, references: Sequence[Image.Image] = ()) -> pl.DataFrame:
        pairs = zip(images, references, strict=True)
        found = [float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean()) for a, b in pairs]
        return pl.DataFrame({"distance": found}, schema={"distance": pl.Float64})


class Logged(Model):
    """A model that notes what it draws, so that it is known also after a kill."""

    log: Path | None = None

    def generate(self, prompts: Any, **settings: Any) -> list[Image.Image]:
        if self.log:
            note(self.log, f"{bool(self.edits)} {prompts} {settings['seeds']}")
        return super().generate(prompts, **settings)


def note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


class Bench:
    """A tiny model, with and without an edit, and two judges: one of them compares."""

    def __init__(
        self, judge: Any = None, method: Any = None, things: Sequence[str] = THINGS, protocol: Protocol = PROTOCOL
    ) -> None:
        torch.set_num_threads(1)
        self.model = Logged(tiny_sd1(), "tiny")
        made = (judge or StubJudge(), Distance())
        self.judges = {JudgeSpec.of(one): one for one in made}
        self.source = ModelSpec.of(self.model)
        cases = tuple(Case("object", thing, f"a {thing}", "object", thing) for thing in things)
        self.unedited = Condition(self.source, cases, protocol, tuple(self.judges))
        method, concepts = method or Nudge(), [Concept("church")]
        self.edited = Condition.edited(self.source, method, concepts, cases, protocol, tuple(self.judges), "nudge")
        self.plan = Plan([self.edited, self.unedited])

    def worker(self, store: Store, log: Path | None = None, **options: Any) -> Worker:
        self.model.log = log
        return Worker(self.plan, store, models={self.source: self.model}, judges=self.judges, **options)


class Crasher(StubJudge):
    """Ends the whole process when it sees a certain picture."""

    crash = b""

    def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
        if any(image.tobytes() == self.crash for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(images, **told)


class Crashing(Bench):
    """A bench whose judge does not survive the unedited model's second dog."""

    def __init__(self) -> None:
        judge = Crasher()
        super().__init__(judge=judge, things=FEW, protocol=SMALL)
        judge.crash = self.model.generate(["a dog"] * 2, seeds=[0, 1], steps=1, guidance_scale=1.0)[1].tobytes()


def work(
    folder: Path, log: Path | None = None, limit: int = 0, bench: type[Bench] = Bench, expires: float = 60
) -> None:
    """What a process does. limit: bytes that a file may have."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with sigterm_interrupts():
        bench().worker(Store(folder), log, expires=expires).run()


def start(*args: Any, **options: Any) -> BaseProcess:
    process = CONTEXT.Process(target=work, args=args, kwargs=options)
    process.start()
    return process


def kill(process: BaseProcess, number: int = signal.SIGKILL) -> int:
    """Send a signal and give the exit code."""
    if process.pid and process.is_alive():
        os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode
