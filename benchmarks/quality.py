"""What erasing does to everyday pictures: CLIP score and FID after each edit, into docs/methods.md.

    python benchmarks/quality.py --captions 200                   # four objects, each method: half an hour of one core
    python benchmarks/quality.py --methods uce cad --objects church --captions 64

Everyday captions are the world's own, as it is trained on, without those that hold the erased object. FID is of the
embedded model's image tower: against the unedited model's pictures of the same captions, and against what the world
itself renders of other captions, the counterpart of photographs. FID falls as sets grow, and all sets have one size;
those of other sizes cannot be held against these. An edit's pictures are stored as they are done.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pages import fill, page_parser, parsed
from PIL import Image
from scipy.stats import t

import turpentine as tp
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import Parts
from turpentine.core.plugins import METHODS as METHOD_KINDS
from turpentine.core.plugins import find
from turpentine.emoji.captions import Captioned, stream
from turpentine.emoji.world import SCENES, render
from turpentine.judges.clip import ClipScore
from turpentine.judges.features import extractor
from turpentine.models.identity import describe
from turpentine.stats.intervals import Difference, Estimate, mean_score, paired_means, set_distance
from turpentine.stats.set_distances import fid

OBJECTS = ("church", "dog", "truck", "fish")
METHODS = (
    *("esd-x", "esd-u", "uce-aligned", "uce", "rece", "diff-quickfix", "cad", "conceptprune"),
    *("sld-medium", "negative-prompt"),
)
UNEDITED = "unedited"
STEPS, RENDERS = 10, 1
"""Of a picture; the seed of the captions that are rendered."""

Vectors = Float[np.ndarray, "picture feature"]


class Pictures:
    """Everyday captions, and the vectors and CLIP scores of their pictures."""

    def __init__(self, count: int, keep: Path) -> None:
        self.model, self.count = tp.load(dtype=torch.float32), count
        self.towers, self.clip = extractor("emoji"), ClipScore()
        self.parts = Parts(keep, [describe(self.model), count, STEPS, self.towers.revision])

    def captions(self, obj: str, seed: int = 0) -> list[Captioned]:
        """The first captions without the object."""
        names = (obj, *(scene for scene, other in SCENES.items() if other == obj))
        return list(
            islice((each for each in stream(seed) if not any(name in each.caption for name in names)), self.count)
        )

    def rendered(self, obj: str) -> Vectors:
        """Vectors of what the world renders of other captions without the object."""
        pictures = [Image.fromarray(render(each.picture)) for each in self.captions(obj, RENDERS)]
        return self.towers.vectors(pictures).numpy()

    def after(self, method: str, obj: str) -> tuple[Vectors, np.ndarray]:
        """Vectors and CLIP scores after an edit."""

        def draw() -> dict[str, torch.Tensor]:
            start, prompts = time.monotonic(), [each.caption for each in self.captions(obj)]
            seeds = list(range(len(prompts)))
            with self._edited(method, obj):
                images = self.model.generate(prompts, seeds=seeds, steps=STEPS, solver="dpm", batch_size=25)
            scores = self.clip(images, prompts=prompts)["clip"].to_numpy().copy()
            print(f"{method}, {obj}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            return {"vectors": self.towers.vectors(images), "clip": torch.from_numpy(scores)}

        how = "" if method == UNEDITED else repr(find(method, METHOD_KINDS).defaults(self.model))
        part = self.parts.part([method, how, obj], draw)
        return part["vectors"].numpy(), part["clip"].numpy()

    def _edited(self, method: str, obj: str) -> AbstractContextManager[object]:
        if method == UNEDITED:
            return nullcontext()
        return find(method, METHOD_KINDS).defaults(self.model)(self.model, tp.Concept(obj)).on(self.model)


def line(pictures: Pictures, method: str, objects: list[str]) -> list[str]:
    """CLIP and both FIDs of a method, means over the objects."""
    scores, before, clusters = [], [], []
    moved, real = [], []
    for obj in objects:
        (vectors, own), (vectors_before, own_before) = pictures.after(method, obj), pictures.after(UNEDITED, obj)
        scores += own.tolist()
        before += own_before.tolist()
        clusters += [(obj, each.caption) for each in pictures.captions(obj)]
        moved.append(set_distance(fid, vectors, vectors_before))
        real.append(set_distance(fid, vectors, pictures.rendered(obj)))
    clip, change = mean_score(scores, clusters=clusters), paired_means(before, scores, clusters=clusters)
    cells = [cell(clip, 2), cell(change, 2), cell(over(moved), 4), cell(over(real), 4)]
    return [method, cells[0], *(["–", "–"] if method == UNEDITED else cells[1:3]), cells[3]]


def over(each: list[Estimate]) -> Estimate:
    """The mean over objects; the interval is the wider of Student's over them and the mean of their own.

    The captions are nearly the same for all, so that what other captions would change does not shrink with the objects.
    """
    values = np.asarray([one.value for one in each])
    mean, reach = float(values.mean()), 0.0
    if len(values) > 1:
        reach = float(t.isf(0.025, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    low, high = (float(np.mean([one[end] for one in each])) for end in (1, 2))
    return Estimate(mean, max(0.0, min(low, mean - reach)), max(high, mean + reach))


def cell(number: Estimate | Difference, digits: int) -> str:
    """A number with its interval."""
    return f"{number.value:.{digits}f} ({number.low:.{digits}f} to {number.high:.{digits}f})"


def main() -> None:
    parser = page_parser(__doc__, keep="quality")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS))
    parser.add_argument("--captions", type=int, default=500)
    args = parsed(parser)
    pictures = Pictures(args.captions, args.keep)
    rows = [line(pictures, method, args.objects) for method in (UNEDITED, *args.methods)]
    head = ["method", "CLIP score", "change of it", "FID to the unedited model", "FID to renders"]
    fill(args.docs / "methods.md", {"quality": markdown_table(head, rows)})


if __name__ == "__main__":
    main()
