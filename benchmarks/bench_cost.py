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
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import polars as pl
from PIL import Image

import turpentine as tp
from turpentine.bench import Case, Condition, JudgeSpec, ModelSpec, Plan, Protocol, Store
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import TEN
from turpentine.judges import EmojiJudge, PictureStatistics
from turpentine.runs.results import compact
from turpentine.runs.worker import Worker

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


def plan_of(model: tp.Model, prompts: int, seeds: int, batch_size: int = 16) -> tuple[Plan, ModelSpec]:
    cases = [Case("object", obj, object_caption(obj), "object", obj) for obj in TEN]
    cases += [Case("object", f"{n}", f"a {TEN[n % 10]} {n}") for n in range(prompts - len(cases))]
    source = ModelSpec.of(model)
    protocol = Protocol(seeds=tuple(range(seeds)), batch_size=batch_size)
    return Plan([Condition(source, tuple(cases[:prompts]), protocol, tuple(JUDGES))]), source


def throughput(seeds: int = 16) -> None:
    """The shipped model: a bench beside plain batched sampling and judging of the same pictures."""
    model = tp.load()
    plan, source = plan_of(model, len(TEN), seeds)

    def plain() -> None:
        for job in plan.jobs:
            prompts, numbers = zip(*job.batch.pairs, strict=True)
            images = model.generate(prompts, seeds=numbers, batch_size=len(job.batch), **job.batch.draw_spec.settings)
            for judge in JUDGES.values():
                judge(images)

    def bench() -> None:
        with tempfile.TemporaryDirectory() as folder:
            Worker(plan, Store(folder), models={source: model}, judges=JUDGES).run()

    model.generate(TEN, steps=2)  # what is slow the first time
    alone, kept = seconds(plain), seconds(bench)
    print(f"{len(TEN) * seeds} pictures: plain {alone:.1f} s, as a bench {kept:.1f} s: {alone / kept:.0%} of the speed")


def ledger(pictures: int = 10_000, sampled: int = 160) -> None:
    """Pictures that cost nothing: what is left is the ledger's own time, beside what sampling as many takes.

    sampled: pictures of the shipped model by which that is told.
    """
    shipped = tp.load()
    model = Instant(shipped.pipeline, "instant")
    plan, source = plan_of(model, pictures // 50 + len(TEN), 50)
    judges = {spec: judge for spec, judge in JUDGES.items() if spec.name == PictureStatistics.name}
    plan = Plan([Condition(source, plan.conditions[0].cases[len(TEN) :], plan.conditions[0].protocol, tuple(judges))])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        spent = seconds(lambda: Worker(plan, store, models={source: model}, judges=judges).run())
        whole = seconds(lambda: compact(plan, store))
    count, job = plan.counts.distinct, plan.jobs[0]
    prompts = [TEN[n % len(TEN)] for n in range(sampled)]
    settings = {**job.batch.draw_spec.settings, "batch_size": len(job.batch)}
    shipped.generate(TEN, steps=2)  # what is slow the first time
    plain = seconds(lambda: shipped.generate(prompts, seeds=list(range(sampled)), **settings)) * count / sampled
    print(
        f"{count} pictures: {spent:.1f} s, judging by pixels included, and {whole:.1f} s to compact; plain sampling of "
        f"as many takes {plain:.0f} s, told by {sampled}: a share of {(spent + whole) / (spent + whole + plain):.1%}"
    )


def opening(pictures: int = 1_000_000) -> None:
    """A ledger of a million rows, in few large parts and in the many of a bench: the time until it is known what is
    done, and until all rows of the drawing are read, and the memory of a process that does nothing else."""
    for size in (1000, 16):
        plan, _ = plan_of(tp.load(), pictures // 50, 50, size)
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            store.begin(plan)
            fill(store, plan)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                known, read, memory = pool.submit(opened, folder).result()
        print(
            f"{plan.counts.distinct} rows in {len(plan.jobs)} parts, and as many for each of {len(plan.judges)} "
            "judges: "
            f"known in {known:.1f} s, read in {read:.1f} s more; {memory:.2f} GB at most"
        )


def fill(store: Store, plan: Plan) -> None:
    """Write the parts of a finished bench, of made-up content."""
    picture = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    scores = {spec: judge([picture]).with_columns(error=pl.lit(None, pl.String)) for spec, judge in JUDGES.items()}
    for job in plan.jobs:
        key, count = job.batch.key, len(job.batch)
        prompts, numbers = zip(*job.batch.pairs, strict=True)
        items = [item.key for item in job.batch.items]
        part = pl.DataFrame({"item": items, "prompt": prompts, "seed": numbers, "image": items})
        part = part.with_columns(error=pl.lit(None, pl.String), seconds=pl.lit(0.1))
        store.draws.put(key, part)
        for spec in plan.judges:
            store.scores(spec).put(key, pl.concat([scores[spec]] * count))


def opened(folder: str) -> tuple[float, float, float]:
    """Seconds until it is known what is done, seconds more until it is read, and GB of this process at most."""
    store = Store(folder)
    start = time.monotonic()
    plan, _ = store.planned()
    assert not store.missing(plan)
    known = time.monotonic()
    assert len(store.draws.gather([job.batch.key for job in plan.jobs])) == plan.counts.distinct
    read = time.monotonic()
    return known - start, read - known, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


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
