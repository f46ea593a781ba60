"""Time pictures drawn while attention is recorded (maps of words) beside the same pictures drawn plainly.

    python benchmarks/recording.py
    python benchmarks/recording.py --shape sd14 --device cuda --pictures 4    # a model of that shape, random weights

All take turns; the best of `--rounds` counts. Of a shape the autoencoder is small.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from closed_form import SHAPES
from guidance import wait_for, whole

import turpentine as tp
from turpentine.explain.dynamics import Dynamics
from turpentine.explain.maps import Maps

PROMPTS = ["a church in noto style on a blue background", "a dog and a fish"]


def of_shape(shape: str, device: str) -> tp.Model:
    """In fp16 on a GPU, with an autoencoder that draws."""
    dtype = torch.float16 if device == "cuda" else torch.float32
    model = whole(SHAPES[shape], device, dtype)
    model.vae.to_empty(device=device).to(dtype=dtype)
    for parameter in model.vae.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return model


class Cost:
    """Of some runs the fewest seconds, and the most that was allocated beside what was there before, in GB."""

    def __init__(self, model: tp.Model, act: Callable[[], object]) -> None:
        self.model, self.act = model, act
        self.seconds, self.memory = float("inf"), 0.0

    def run(self) -> None:
        on_gpu = self.model.device.type == "cuda"
        before = torch.cuda.memory_allocated() if on_gpu else 0
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        self.act()
        wait_for(self.model)
        self.seconds = min(self.seconds, time.perf_counter() - start)
        if on_gpu:
            self.memory = max(self.memory, (torch.cuda.max_memory_allocated() - before) / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8, help="in one batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead of the embedded model")
    parser.add_argument("--device", default="cpu", help="of the shape")
    args = parser.parse_args()

    model, count = of_shape(args.shape, args.device) if args.shape else tp.load(), args.pictures
    prompts, seeds = (PROMPTS * count)[:count], list(range(count))
    acts: dict[str, Callable[[], object]] = {
        "plain": lambda: model.generate(prompts, seeds=seeds, batch_size=count),
        "maps of every word": lambda: Maps(batch_size=count)(model, prompts, seeds),
        "maps of one word": lambda: Maps(words=("a",), batch_size=count)(model, prompts, seeds),
        "dynamics": lambda: Dynamics(batch_size=count)(model, prompts, seeds),
    }
    costs = {name: Cost(model, act) for name, act in acts.items()}
    for _ in range(args.rounds):
        for cost in costs.values():
            cost.run()
    for name, cost in costs.items():
        ratio = cost.seconds / costs["plain"].seconds
        memory = f"  {cost.memory:5.2f} GB" if model.device.type == "cuda" else ""
        print(f"{name:20} {cost.seconds:6.2f} s for {count} pictures  × {ratio:.2f}{memory}")


if __name__ == "__main__":
    main()
