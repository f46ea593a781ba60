"""Train the worlds on one GPU in minutes: the larger model, the transformer, oracles and the whole recipe.

python tools/train_worlds.py --all --device cuda --minutes 9 --out runs/worlds
python tools/train_worlds.py --all --device cpu --tiny --out /tmp/worlds       # everything once, in minutes

Every training is a thread with a stream of its own: networks this small leave most of a GPU idle one by one. They begin
in the order of their worth; one that cannot end in time does not begin. Written are weights (the denoisers as rows of
int8), logs, and what each model draws as the shipped judge sees it.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from world_session import Session, guarded
from world_trainings import larger, oracle, oracle_name, transformer, whole

GRACE = 30.0
"""Seconds after the deadline in which what is being written may still be; then all ends."""


Job = Callable[[], None]


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--all", action="store_true", help="train everything, in the order of its worth")
    options.add_argument("--only", nargs="*", default=[], help="names of trainings, instead of all")
    options.add_argument("--device", default="cuda")
    options.add_argument("--minutes", type=float, default=9.0)
    options.add_argument("--out", type=Path, required=True, help="folder of what is written, at most eight files")
    options.add_argument("--work", type=Path, help="folder of checkpoints; by default beside `out`")
    options.add_argument("--together", type=int, default=5, help="trainings at the same time")
    options.add_argument("--least", type=float, default=150.0, help="seconds below which an oracle does not begin")
    options.add_argument("--seeds", type=int, default=10, help="pictures of each prompt of a card")
    options.add_argument("--strict", type=float, default=0.0, help="seconds in which one failure ends all")
    options.add_argument("--tiny", action="store_true", help="as small as everything can be")
    return options


def session_of(options: argparse.Namespace) -> Session:
    """Return what the trainings of a command line share; its time begins now."""
    return Session(
        options.out,
        options.work or options.out.with_name(options.out.name + "-work"),
        options.device,
        time.monotonic() + 60 * options.minutes,
        options.tiny,
        1 if options.tiny else options.seeds,
        options.strict,
    )


def jobs_of(session: Session, least: float) -> dict[str, tuple[float, Job]]:
    """Return all trainings by name, in the order of their worth, each with the seconds that it needs to begin."""
    jobs: dict[str, tuple[float, Job]] = {
        "emoji-64": (0, partial(larger, session)),
        "emoji-mmdit": (0, partial(transformer, session)),
    }
    for seed, concept in ((0, "church"), (0, "ink"), (1, "church"), (2, "church"), (1, "ink"), (2, "ink")):
        ships = (seed, concept) == (0, "church")
        for unnamed in (False, True):
            job = partial(oracle, session, concept, unnamed, seed, ships)
            jobs[oracle_name(concept, unnamed, seed)] = (0 if ships else least, job)
    return {**jobs, "whole-0": (least, partial(whole, session))}


def fault_of(only: Sequence[str], names: Collection[str]) -> str | None:
    """Return what is wrong with the names of trainings, None where nothing is."""
    unknown = [name for name in only if name not in names]
    if unknown:
        return f"there is no training {', '.join(unknown)}: there are {', '.join(names)}"
    if "emoji-mmdit" in only and "emoji-64" not in only:
        return "emoji-mmdit takes its second text tower from emoji-64: name both"
    return None


def main() -> None:
    options = parser().parse_args()
    session = session_of(options)
    jobs = jobs_of(session, options.least)
    if fault := fault_of(options.only, jobs):
        parser().error(fault)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if not options.tiny:
        last = threading.Timer(session.left + GRACE, os._exit, [0])
        last.daemon = True
        last.start()
    with ThreadPoolExecutor(options.together) as pool:
        for name, (least, job) in jobs.items():
            if options.all or name in options.only:
                pool.submit(guarded, session, name, least, job)


if __name__ == "__main__":
    main()
