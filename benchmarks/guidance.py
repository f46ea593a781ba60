"""Time a picture under Safe Latent Diffusion and under a negative prompt, beside plain guidance on the same model.

    python benchmarks/guidance.py                          # the embedded model
    python benchmarks/guidance.py --shapes sd14 --out guidance.json     # Stable Diffusion's shape, random weights, too

Plain guidance has two rows for a picture, Safe Latent Diffusion three, in one call. On a shape a few steps of one
picture are taken, without the autoencoder. The kinds take turns, and the best of `--repeat` rounds counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from closed_form import SHAPES, Shape, build

import turpentine as tp
from turpentine.core.atomic_files import write_text_whole
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import Guidance, count_rows, sample


@dataclass(frozen=True)
class Timing:
    """One kind of guidance: rows of the denoiser and seconds for a picture, and the times of plain guidance."""

    model: str
    guidance: str
    rows: float
    seconds: float
    ratio: float


def kinds(model: tp.Model) -> dict[str, Guidance | None]:
    concept = tp.Concept("church")
    return {
        "plain": None,
        "sld-weak": SLD(**SLD.variants["sld-weak"])(model, concept),
        "sld-max": SLD(**SLD.variants["sld-max"])(model, concept),
        "negative-prompt": NegativePrompt()(model, concept),
    }


def timed(model: tp.Model, pictures: int, steps: int, repeat: int) -> list[Timing]:
    cond, empty = model.encode(["a church"]).repeat(pictures), model.encode([""])
    best: dict[str, float] = {}
    rows: dict[str, int] = {}
    asked: Mapping[str, Guidance | None] = kinds(model)
    for _ in range(repeat):
        for name, guidance in asked.items():
            noise = model.noise(range(pictures))
            with count_rows(model) as count:
                start = time.perf_counter()
                for _ in sample(model, cond, empty, noise, steps=steps, guidance_scale=4.0, guidance=guidance):
                    pass
                wait_for(model)
                seconds = time.perf_counter() - start
            best[name], rows[name] = min(seconds, best.get(name, seconds)), count.rows
    return [
        Timing(model.name, name, rows[name] / pictures, best[name] / pictures, best[name] / best["plain"])
        for name in asked
    ]


def whole(shape: Shape, device: str = "cpu", dtype: torch.dtype = torch.float32) -> tp.Model:
    """A pipeline of the shape whose denoiser has weights, random ones."""
    model = build(shape)
    model.denoiser.to_empty(device=device).to(dtype=dtype)
    model.pipeline.text_encoder.to(device, dtype)
    torch.manual_seed(0)
    for parameter in model.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return model


def wait_for(model: tp.Model) -> None:
    """Until a GPU has done all that it was told."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=[])
    parser.add_argument("--pictures", type=int, default=8, help="of the embedded model, in one batch")
    parser.add_argument("--steps", type=int, default=2, help="of a shape")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the best counts")
    parser.add_argument("--out", type=Path, help="write the timings as JSON")
    args = parser.parse_args()

    timings = timed(tp.load(), args.pictures, 20, args.repeat)
    for shape in args.shapes:
        timings += timed(whole(SHAPES[shape]), 1, args.steps, args.repeat)
    for each in timings:
        print(f"{each.model:26} {each.guidance:16} {each.rows:5.1f} rows {each.seconds:8.3f} s  × {each.ratio:.2f}")
    if args.out:
        write_text_whole(args.out, json.dumps([asdict(each) for each in timings], indent=2))


if __name__ == "__main__":
    main()
