"""Time pictures drawn while attention is recorded (maps of words) beside the same pictures drawn plainly.

    python benchmarks/recording.py

The two take turns; the best of `--rounds` counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import turpentine as tp
from turpentine.explain import Dynamics, Maps

PROMPTS = ["a church in noto style on a blue background", "a dog and a fish"]


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8, help="in one batch")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    model, count = tp.load(), args.pictures
    prompts, seeds = (PROMPTS * count)[:count], list(range(count))
    acts: dict[str, Callable[[], object]] = {
        "plain": lambda: model.generate(prompts, seeds=seeds, batch_size=count),
        "maps of every word": lambda: Maps(batch_size=count)(model, prompts, seeds),
        "maps of one word": lambda: Maps(words=("a",), batch_size=count)(model, prompts, seeds),
        "dynamics": lambda: Dynamics(batch_size=count)(model, prompts, seeds),
    }
    best = {name: float("inf") for name in acts}
    for _ in range(args.rounds):
        for name, act in acts.items():
            best[name] = min(best[name], seconds(act))
    for name, each in best.items():
        print(f"{name:20} {each:6.2f} s for {count} pictures  × {each / best['plain']:.2f}")


if __name__ == "__main__":
    main()
