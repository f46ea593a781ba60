"""What the trainings of `train_worlds.py` share: folders, a deadline, what is printed, and a stream of the GPU."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from turpentine.core.atomic_files import write_text_whole
from turpentine.emoji.towers import Towers

T = TypeVar("T")


@dataclass
class Session:
    """What all trainings of a run share.

    Args:
        out: Folder of what is written.
        work: Folder of checkpoints.
        device: Where to train.
        deadline: Of `time.monotonic`, by which all ends.
        tiny: Whether everything is as small as it can be.
        seeds: Pictures of each prompt of a card.
        strict: Seconds from the start within which a failure of one ends all, so that time is left to mend it.
    """

    out: Path
    work: Path
    device: str
    deadline: float
    tiny: bool
    seeds: int
    strict: float
    began: float = field(default_factory=time.monotonic)
    cards: dict[str, object] = field(default_factory=dict)
    larger_towers: Future[Towers] = field(default_factory=Future)
    writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.deadline - time.monotonic()

    def printer(self, name: str) -> Callable[[str], None]:
        """Return what prints a training's lines, a tenth of those on its progress."""
        count = 0

        def line(text: str) -> None:
            nonlocal count
            count += 1
            if "updates/s" not in text or count % 20 == 0:
                print(f"{time.monotonic() - self.began:6.0f} s  {name}: {text}", flush=True)

        return line

    def record(self, name: str, facts: object) -> None:
        """Write a training's facts beside those of the trainings that are done, one thread at a time."""
        with self.writing:
            self.cards[name] = facts
            write_text_whole(self.out / "cards.json", json.dumps(self.cards, indent=1))


def on_stream(session: Session, work: Callable[[], T]) -> T:
    """Do the work on a stream of its own, where there is a GPU."""
    if session.device == "cpu":
        return work()
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        return work()


def guarded(session: Session, name: str, least: float, work: Callable[[], None]) -> None:
    """Do a training unless there is no time for it; what goes wrong is printed and stops no other."""
    if session.left < least and not session.tiny:
        print(f"{name}: not begun, {session.left:.0f} s left and {least:.0f} needed", flush=True)
        return
    try:
        on_stream(session, work)
        print(f"{time.monotonic() - session.began:6.0f} s  {name}: done", flush=True)
    except Exception:
        print(f"{name}: failed\n{traceback.format_exc()}", flush=True)
        if not session.larger_towers.done() and name == "emoji-64":
            session.larger_towers.set_exception(RuntimeError("no larger towers"))
        if time.monotonic() - session.began < session.strict:
            os._exit(3)
