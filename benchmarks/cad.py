"""What CAD costs: masks on the shapes of Stable Diffusion 1.4, 2.1 and SDXL, and attributions on the embedded model.

    python benchmarks/cad.py                        # masks of all three shapes; the largest needs 12 GB
    python benchmarks/cad.py --shapes sd14 --attribute --check 1000 --out cad.json

Masks are chosen from random attributions, and saved as an edit. ``--attribute`` takes an attribution of the embedded
model from one stored trajectory, and counts rows and seconds beside the published loop, which samples anew for each
step. ``--check`` sets as many random subsets of weights to 0 and tells how predicted and measured changes of J agree.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from closed_form import SHAPES
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

import turpentine as tp
from turpentine.attribution import Attribution, approximation, attributable
from turpentine.core.atomic_files import write_text_whole
from turpentine.erase._pruning import Per, zero_largest
from turpentine.erase.cad import CAD
from turpentine.models import count_rows, sample


@dataclass(frozen=True)
class Masks:
    """Masks of one shape: matrices, weights in them and zeroed ones, seconds, and the size of the edit's file."""

    shape: str
    per: Per
    matrices: int
    weights: int
    zeroed: int
    seconds: float
    kilobytes: float


@dataclass(frozen=True)
class Cost:
    """An attribution: rows of the denoiser without and with gradients, and seconds."""

    method: str
    rows: int
    gradient_rows: int
    seconds: float


def attributions(shape: str) -> dict[str, Tensor]:
    """Random ones of all feed-forward weights."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SHAPES[shape].unet)
    sizes = {name: weight.shape for name, weight in unet.named_parameters() if ".ff." in name and weight.ndim > 1}
    generator = torch.Generator().manual_seed(0)
    return {f"unet.{name}": torch.randn(size, generator=generator) for name, size in sizes.items()}


def masks(shape: str, share: float, repeat: int) -> Iterator[Masks]:
    alpha = attributions(shape)
    for per in ("row", "matrix", "published"):
        seconds = []
        for _ in range(repeat):
            start = time.perf_counter()
            zeroed = zero_largest(alpha, share, per)
            seconds.append(time.perf_counter() - start)
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            tp.Edit(zeroed=zeroed).save(file.name)
            size = Path(file.name).stat().st_size / 1000
        count = sum(len(each) for each in zeroed.values())
        weights = sum(each.numel() for each in alpha.values())
        yield Masks(shape, per, len(alpha), weights, count, min(seconds), size)


def ours(model: tp.Model, settings: CAD, concept: tp.Concept) -> tuple[Cost, Attribution]:
    start = time.perf_counter()
    with count_rows(model) as count:
        found = settings.attribution(model, concept)
    seconds = time.perf_counter() - start
    return Cost("one stored trajectory", count.rows - count.grad_rows, count.grad_rows, seconds), found


def published(model: tp.Model, settings: CAD, concept: tp.Concept) -> Cost:
    """The published loop: for each step a run of its own up to it, and one gradient there."""
    prompt = concept.prompts[0]
    cond, empty = model.encode([prompt]), model.encode([""])
    weights = {name: model.parameter(name).detach().requires_grad_() for name in attributable(model, settings.sites)}
    start, scale, steps = time.perf_counter(), settings.guidance_scale, settings.sampling_steps
    with count_rows(model) as count:
        for last in range(steps):
            run = sample(model, cond, empty, model.noise([last]), steps=steps, guidance_scale=scale)
            step = next(step for step in run if step.index == last)
            with torch.enable_grad():
                value = (step.eps_uncond - model.eps(step.x, int(step.t), cond, parameters=weights)).square().sum()
                torch.autograd.grad(value, list(weights.values()))
    return Cost("published loop", count.rows - count.grad_rows, count.grad_rows, time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--share", type=float, default=0.001)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--attribute", action="store_true", help="attribute a concept of the embedded model")
    parser.add_argument("--concept", default="church")
    parser.add_argument("--check", type=int, default=0, metavar="TRIALS", help="random subsets for the approximation")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()

    rows = [each for shape in args.shapes for each in told(masks(shape, args.share, args.repeat))]
    if args.attribute or args.check:
        model, settings, concept = tp.load(), CAD(trials=0), tp.Concept(args.concept)
        cost, found = ours(model, settings, concept)
        rows += told(iter([cost, published(model, settings, concept)]))
    if args.check:
        check = approximation(found, trials=args.check)
        rows.append({"trials": args.check, "share": check.share, "r": check.r, "low": check.low, "high": check.high})
        print(f"Pearson's r {check.r:.3f} ({check.low:.3f} to {check.high:.3f}) over {args.check} subsets")
    if args.out:
        write_text_whole(args.out, json.dumps(rows, indent=2))


def told(found: Iterator[Masks | Cost]) -> list[dict[str, object]]:
    """The numbers as JSON has them, printed as they come."""
    rows = []
    for each in found:
        rows.append(asdict(each))
        print(
            ", ".join(
                f"{name} {value:,.3g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in rows[-1].items()
            )
        )
    return rows


if __name__ == "__main__":
    main()
