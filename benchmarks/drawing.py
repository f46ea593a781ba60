"""Time what every user waits for: the package imported and loaded, and eight pictures drawn; beside diffusers itself.

python benchmarks/drawing.py                 # the embedded model, medians of five
python benchmarks/drawing.py --rounds 9 --out drawing.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import turpentine as tp
from turpentine.core.atomic_files import write_text_whole
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import TEN

PROMPTS = [object_caption(obj) for obj in TEN[:8]]
LOAD = "import time; t = time.perf_counter(); import turpentine; turpentine.load(); print(time.perf_counter() - t)"


def start() -> float:
    """Seconds in which a new process imports the package and loads the model, without its own start and end."""
    return float(subprocess.run([sys.executable, "-c", LOAD], check=True, capture_output=True).stdout)


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def median_seconds(clock: Callable[[], float], rounds: int) -> float:
    clock()
    return statistics.median(clock() for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the seconds as JSON")
    args = parser.parse_args()
    model = tp.load()
    pipe, seeds = model.pipeline, list(range(8))
    pipe.set_progress_bar_config(disable=True)
    asked: dict[str, Callable[[], object]] = {
        "8 pictures, 20 DDIM steps, guidance 4": lambda: model.generate(PROMPTS, seeds=seeds, steps=20),
        "8 pictures, 10 DPM-Solver++ steps": lambda: model.generate(PROMPTS, seeds=seeds, steps=10, solver="dpm"),
        "8 pictures, 20 steps, diffusers' own pipeline": lambda: pipe(
            PROMPTS, num_inference_steps=20, guidance_scale=4.0, output_type="pil"
        ),
    }
    clocks = {"import and load, in a new process": start} | {name: partial(timed, act) for name, act in asked.items()}
    seconds = {}
    for name, clock in clocks.items():
        seconds[name] = median_seconds(clock, args.rounds)
        print(f"{name:48} {seconds[name]:6.2f} s", flush=True)
    if args.out:
        write_text_whole(args.out, json.dumps(seconds, indent=2))


if __name__ == "__main__":
    main()
