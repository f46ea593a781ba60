"""What the ledger of a bench costs: beside plain sampling, for many pictures of no cost, and on opening a large one.

python benchmarks/bench_cost.py              # all three
python benchmarks/bench_cost.py --only open
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

import turpentine as tp
from turpentine.bench import Case, Cell, JudgeSpec, Plan, Protocol, Source, Store
from turpentine.bench.results import compact
from turpentine.bench.worker import Worker
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import TEN
from turpentine.judges import EmojiJudge, PictureStatistics

JUDGES = {JudgeSpec.of(judge): judge for judge in (EmojiJudge(), PictureStatistics())}


class Instant(tp.Model):
    """A model that draws noise of the size of the emoji world's pictures, at once."""

    def generate(self, prompts: Sequence[str], **settings: object) -> list[Image.Image]:  # type: ignore[override]
        pixels = np.random.default_rng(settings["seeds"]).integers(0, 256, (len(prompts), 32, 32, 3), np.uint8)
        return [Image.fromarray(picture) for picture in pixels]


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def plan_of(model: tp.Model, prompts: int, seeds: int, batch_size: int = 16) -> tuple[Plan, Source]:
    cases = [Case("object", obj, object_caption(obj), "object", obj) for obj in TEN]
    cases += [Case("object", f"{n}", f"a {TEN[n % 10]} {n}") for n in range(prompts - len(cases))]
    source = Source.of(model)
    protocol = Protocol(seeds=tuple(range(seeds)), batch_size=batch_size)
    return Plan([Cell(source, tuple(cases[:prompts]), protocol, tuple(JUDGES))]), source


def throughput(seeds: int = 16) -> None:
    """The shipped model: a bench beside plain batched sampling and judging of the same pictures."""
    model = tp.load()
    plan, source = plan_of(model, len(TEN), seeds)

    def plain() -> None:
        for job in plan.jobs:
            prompts, numbers = zip(*job.batch.pairs, strict=True)
            images = model.generate(prompts, seeds=numbers, batch_size=len(job.batch), **job.batch.state.settings)
            for judge in JUDGES.values():
                judge(images)

    def bench() -> None:
        with tempfile.TemporaryDirectory() as folder:
            Worker(plan, Store(folder), models={source: model}, judges=JUDGES).run()

    model.generate(TEN, steps=2)  # what is slow the first time
    alone, kept = seconds(plain), seconds(bench)
    print(f"{len(TEN) * seeds} pictures: plain {alone:.1f} s, as a bench {kept:.1f} s: {alone / kept:.0%} of the speed")


def ledger(pictures: int = 10_000) -> None:
    """Pictures that cost nothing: what is left is the ledger's own time, the writing of PNG files included."""
    model = Instant(tp.load().pipeline, "instant")
    plan, source = plan_of(model, pictures // 50, 50)
    judges = {spec: judge for spec, judge in JUDGES.items() if spec.name == PictureStatistics.name}
    plan = Plan([Cell(source, plan.cells[0].cases[10:], plan.cells[0].protocol, tuple(judges))])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        spent = seconds(lambda: Worker(plan, store, models={source: model}, judges=judges).run())
        whole = seconds(lambda: compact(plan, store))
    count = plan.counts.drawn
    print(f"{count} pictures: {1000 * spent / count:.2f} ms a picture, and {whole:.1f} s to compact")


def opening(pictures: int = 1_000_000) -> None:
    """A ledger of a million rows: the time until it is known what is done, and the memory."""
    model = tp.load()
    plan, _ = plan_of(model, pictures // 50, 50)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.begin(plan)
        for ledger in (store.draws, *map(store.scores, plan.judges)):
            ledger.folder.mkdir(parents=True)
            for job in plan.jobs:
                ledger.path(job.batch.key).touch()
        del plan
        again = Store(folder)
        spent = seconds(lambda: print(f"{len(again.missing(again.planned()[0]))} batches are missing"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{pictures} rows: opened in {spent:.1f} s; {memory:.2f} GB at most, the model included")


def main() -> None:
    parts = {"throughput": throughput, "ledger": ledger, "open": opening}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=parts)
    only = parser.parse_args().only
    for name, part in parts.items():
        if only in (None, name):
            part()


if __name__ == "__main__":
    sys.exit(main())
