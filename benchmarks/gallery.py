"""The same prompts and seed after each method: pictures side by side, docs/methods-gallery.png.

    python benchmarks/gallery.py                 # church; some minutes on one core
    python benchmarks/gallery.py --object dog --methods uce-aligned sld-medium --docs /tmp/pages

The counterpart of the pictures in CAD's Figures 3 to 6: what names the object, what implies it, its neighbours, other
objects, and a work known by heart.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from matplotlib.figure import Figure
from pages import page_parser, parsed
from PIL import Image

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.plugins import plugins
from turpentine.emoji.world import NEIGHBOURS, SCENES, TEN, WORKS

METHODS = ("uce-aligned", "esd-x", "diff-quickfix", "rece", "cad", "conceptprune", "sld-medium")
UNEDITED, STEPS = "unedited", 10


def prompts_of(obj: str) -> list[str]:
    """What is drawn after an object was erased."""
    named = [with_article(obj), f"{with_article(obj)} in ink style"]
    implied = next(scene for scene, other in SCENES.items() if other == obj)
    others = [other for other in TEN if other != obj][:2]
    work = WORKS[0].caption
    return [*named, implied, *map(with_article, NEIGHBOURS[obj]), *map(with_article, others), work]


def drawn(model: tp.Model, method: str, obj: str, seed: int) -> list[Image.Image]:
    """The pictures after a method."""
    if method == UNEDITED:
        change = nullcontext()
    else:
        change = plugins("erase")[method].defaults(model)(model, tp.Concept(obj)).on(model)
    prompts = prompts_of(obj)
    with change:
        return model.generate(prompts, seeds=[seed] * len(prompts), steps=STEPS, solver="dpm")


def side_by_side(lines: dict[str, Sequence[Image.Image]], prompts: Sequence[str]) -> Figure:
    """A line of pictures for each method."""
    figure = Figure(figsize=(1.05 * len(prompts) + 1.2, 1.08 * len(lines) + 0.5), layout="constrained")
    axes = figure.subplots(len(lines), len(prompts), squeeze=False)
    for row, (method, images) in zip(axes, lines.items(), strict=True):
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(method, fontsize=9, rotation=0, ha="right", va="center")
    for axis, prompt in zip(axes[0], prompts, strict=True):
        axis.set_title(prompt.replace(" by ", "\nby ").replace(" in ", "\nin "), fontsize=8)
    return figure


def main() -> None:
    parser = page_parser(__doc__)
    parser.add_argument("--object", default="church", choices=TEN)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seed", type=int, default=0)
    args = parsed(parser)
    model, lines = tp.load(dtype=torch.float32), {}
    for method in (UNEDITED, *args.methods):
        lines[method] = drawn(model, method, args.object, args.seed)
        print(f"{method} drawn", file=sys.stderr, flush=True)
    figure = side_by_side(lines, prompts_of(args.object))
    figure.savefig(args.docs / "methods-gallery.png", dpi=110)


if __name__ == "__main__":
    main()
