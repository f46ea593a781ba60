"""What ESD, CAD's attribution and guidance cost at Stable Diffusion 1.4's own size, with random weights, on one GPU.

    python benchmarks/full_size.py --out full_size.json
    python benchmarks/full_size.py --tiny --device cpu --dtype fp32 --updates 3 --published 1   # to try it

ESD-x trains with its published settings, but for 24 stored trajectories, with a bf16 denoiser in channels-last and fp32
masters, as it is and compiled. Compiling is timed apart, by a run of two updates. The published loop is timed for a few
updates, in which it is half of the sampling steps deep on average, and told for as many as ours. The share of the peak
is floating-point operations, counted, over seconds and the rate of a large bf16 product on the same device.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from closed_form import SHAPES, tiny
from esd_speed import Published
from guidance import timed, wait_for, whole
from torch.utils.flop_counter import FlopCounterMode

import turpentine as tp
from turpentine.core.atomic_files import write_text_whole
from turpentine.erase.cad import CAD
from turpentine.erase.esd import ESD
from turpentine.models import count_rows

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Cost:
    """What was run, the updates or points it counts for, seconds, peak memory, operations and their share of the peak.

    seconds: of `count`; `measured` of them were run. memory: the most that was allocated, in GB. share: 0 to 1.
    """

    what: str
    count: int
    measured: int
    seconds: float
    memory: float
    operations: float
    share: float


class Bench:
    """One device, one shape, one concept."""

    def __init__(self, device: str, dtype: torch.dtype, is_tiny: bool) -> None:
        self.device, self.dtype = device, dtype
        self.shape = tiny(SHAPES["sd14"]) if is_tiny else SHAPES["sd14"]
        self.concept = tp.Concept("church")
        self.peak = product_rate(device, 512 if is_tiny else 8192)

    def model(self, dtype: torch.dtype | None = None) -> tp.Model:
        model = whole(self.shape, self.device, dtype or self.dtype)
        model.denoiser.to(memory_format=torch.channels_last)
        return model

    def cost(self, what: str, count: int, measured: int, operations: float, run: Callable[[], object]) -> Cost:
        """Time a run that does `measured` of `count`, and tell it for all of them."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        run()
        if self.device == "cuda":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) * count / measured
        memory = torch.cuda.max_memory_allocated() / 1e9 if self.device == "cuda" else float("nan")
        cost = Cost(what, count, measured, seconds, memory, operations, operations / seconds / self.peak)
        print(
            f"{what:36} {count:5} ({measured:4} run) {seconds:8.1f} s {memory:6.1f} GB "
            f"{operations / 1e15:7.3f} P {cost.share:6.1%}",
            flush=True,
        )
        return cost


def product_rate(device: str, size: int) -> float:
    """Operations a second of a square bf16 product: the peak that can be had."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    best = float("inf")
    for _ in range(5):
        wait()
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        wait()
        best = min(best, (time.perf_counter() - start) / 10)
    rate = 2 * size**3 / best
    print(f"a product of {size} x {size} in bf16: {rate / 1e12:.0f} T operations a second", flush=True)
    return rate


def operations_of(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def esd(bench: Bench, updates: int, sampling_steps: int, is_compiled: bool) -> list[Cost]:
    settings = ESD(steps=updates, trajectories=24, sampling_steps=sampling_steps)
    model, first = bench.model(), replace(settings, steps=2, trajectories=8, sampling_steps=2)
    costs = []
    # Counted before compiling, of which the counter sees nothing: two trajectories of two steps, and an update or two.
    small = replace(settings, steps=1, trajectories=2, sampling_steps=2)
    one, two = (operations_of(lambda s=s: s(model, bench.concept)) for s in (small, replace(small, steps=2)))
    update, sampled = two - one, (one - (two - one)) / (2 * 2 * 2)
    rows = 2 * settings.trajectories * sampling_steps
    kind = "ESD-x"
    if is_compiled:
        kind = "ESD-x, compiled"
        model.denoiser.compile(dynamic=False)
        costs.append(bench.cost("compiling", 1, 1, 0.0, lambda: first(model, bench.concept)))
    else:
        first(model, bench.concept)
    operations = updates * update + rows * sampled
    costs.append(bench.cost(kind, updates, updates, operations, lambda: settings(model, bench.concept)))
    return costs


def published(bench: Bench, updates: int, measured: int, sampling_steps: int, dtype: torch.dtype) -> Cost:
    settings = ESD(sampling_steps=sampling_steps, seed=1)
    loop = Published(bench.model(dtype), bench.model(dtype), settings, bench.concept, batch_size=1)
    loop.update()  # warm
    with count_rows(loop.frozen) as frozen, count_rows(loop.trained) as trained:
        cost = bench.cost(
            f"published loop, {str(dtype).removeprefix('torch.')}",
            updates,
            measured,
            0.0,
            lambda: [loop.update() for _ in range(measured)],
        )
    rows = (frozen.rows + trained.rows) / measured
    print(f"{'':36} {rows:.1f} rows an update; {sampling_steps + 3} expected", flush=True)
    return cost


def attribution(bench: Bench, sampling_steps: int) -> Cost:
    model, settings = bench.model(), CAD(trials=0, sampling_steps=sampling_steps, trajectories=1)
    replace(settings, sampling_steps=2).attribution(model, bench.concept)  # warm
    with count_rows(model) as count:
        cost = bench.cost(
            "CAD, attribution", sampling_steps, sampling_steps, 0.0, lambda: settings.attribution(model, bench.concept)
        )
    print(f"{'':36} {count.rows - count.grad_rows} rows and {count.grad_rows} with gradients", flush=True)
    return cost


def guidance(bench: Bench, sampling_steps: int) -> list[dict[str, object]]:
    model = bench.model()
    wait_for(model)
    timings = timed(model, 4, sampling_steps, 3)
    for each in timings:
        print(
            f"{each.guidance:36} {each.rows:5.1f} rows {each.seconds:8.3f} s a picture  × {each.ratio:.2f}", flush=True
        )
    return [asdict(each) for each in timings]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--published", type=int, default=20, help="updates of the published loop that are run")
    parser.add_argument("--eager", type=int, default=200, help="updates of ESD that is not compiled")
    parser.add_argument("--tiny", action="store_true", help="a tenth as wide, to try this benchmark itself")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()

    bench = Bench(args.device, DTYPES[args.dtype], args.tiny)
    steps = 4 if args.tiny else 50
    found: dict[str, object] = {"device": args.device, "peak": bench.peak}
    if args.device == "cuda":
        found["device"] = torch.cuda.get_device_name()

    def keep(**more: object) -> None:
        found.update(more)
        if args.out:
            write_text_whole(args.out, json.dumps(found, indent=2))

    keep(guidance=guidance(bench, min(steps, 20)))
    keep(attribution=asdict(attribution(bench, steps)))
    keep(published=asdict(published(bench, args.updates, args.published, steps, bench.dtype)))
    keep(published_fp32=asdict(published(bench, args.updates, args.published, steps, torch.float32)))
    keep(eager=[asdict(each) for each in esd(bench, args.eager, steps, is_compiled=False)])
    keep(compiled=[asdict(each) for each in esd(bench, args.updates, steps, is_compiled=True)])


if __name__ == "__main__":
    main()
