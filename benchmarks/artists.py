"""Whose works are left when an artist is erased: each of the world's four by several methods, into docs/erasures.md.

    python benchmarks/artists.py                # four artists, five methods, three seeds; some minutes on one core
    python benchmarks/artists.py --artists lumen --methods sld-medium --seeds 1 --docs /tmp/pages

The counterpart of the thesis's five by five pictures, a line for each erased artist and a column for each that is
asked for, with the world's ten objects in the place of a fifth. A picture counts as a work if that is the nearest of
all ten and nearer than any two works are to each other. Intervals are over works. What is drawn is stored.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from pages import fill, page_parser, parsed
from PIL import Image

import turpentine as tp
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import Parts
from turpentine.core.plugins import plugins
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import PALETTES, TEN, WORKS
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models.identity import describe
from turpentine.stats.intervals import Rate

METHODS = ("esd-x", "uce-aligned", "diff-quickfix", "sld-medium", "negative-prompt")
UNEDITED, NOBODY, OBJECTS = "unedited", "nobody", "ten objects"
STEPS = 10
ASKED = [
    *((work.caption, work.artist, "work", work.title) for work in WORKS),
    *((object_caption(obj), OBJECTS, "object", obj) for obj in TEN),
]
"""Prompts, the column that each belongs to, and what the judge should say."""

COLUMNS = (*PALETTES, OBJECTS)


class Erased:
    """Pictures after an artist was erased, and what is left."""

    def __init__(self, seeds: int, keep: Path) -> None:
        self.model, self.judge, self.seeds = tp.load(dtype=torch.float32), EmojiJudge(), seeds
        self.parts = Parts(keep, [describe(self.model), seeds, STEPS])

    def images(self, method: str, artist: str) -> list[list[Image.Image]]:
        """The pictures of each prompt."""

        def draw() -> dict[str, torch.Tensor]:
            start, prompts = time.monotonic(), [prompt for prompt, *_ in ASKED for _ in range(self.seeds)]
            seeds = [*range(self.seeds)] * len(ASKED)
            with self._without(method, artist):
                images = self.model.generate(prompts, seeds=seeds, steps=STEPS, solver="dpm", batch_size=30)
            print(f"{method}, {artist}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            return {"pixels": torch.from_numpy(np.stack([np.asarray(image) for image in images]))}

        images = [Image.fromarray(each) for each in self.parts.part([method, artist], draw)["pixels"].numpy()]
        return [images[at : at + self.seeds] for at in range(0, len(images), self.seeds)]

    def _without(self, method: str, artist: str) -> AbstractContextManager[object]:
        if artist == NOBODY:
            return nullcontext()
        settings = plugins("erase")[method].defaults(self.model)
        return settings(self.model, tp.Concept(artist, kind="artist")).on(self.model)

    def left(self, method: str, artists: Sequence[str], column: str, own: bool | None = None) -> Rate:
        """How much of what a column asks for is still drawn; `own` takes the erased artists' works, or the others'."""
        seen, clusters = list[bool](), []
        for artist in artists:
            for (prompt, of, attribute, label), images in zip(ASKED, self.images(method, artist), strict=True):
                if of == column or (column == "works" and of != OBJECTS and own == (of == artist)):
                    seen += hits(self.judge, attribute, images, [label] * len(images))
                    clusters += [(artist, prompt)] * len(images)
        found = Rate.of(seen, clusters)
        assert found is not None  # there is a prompt at least
        return found


def grid(erased: Erased, method: str, artists: Sequence[str]) -> str:
    """A line for each erased artist, a column for each that is asked for."""
    rows = [[UNEDITED, *(with_span(erased.left(method, [NOBODY], column)) for column in COLUMNS)]]
    rows += [[artist, *(with_span(erased.left(method, [artist], column)) for column in COLUMNS)] for artist in artists]
    return markdown_table(["erased", *(f"{column}, %" for column in COLUMNS)], rows)


def methods_table(erased: Erased, methods: Sequence[str], artists: Sequence[str]) -> str:
    """A line for each method: what is left of the erased artist's works, of the others', and of objects."""
    rows = []
    for method in methods:
        parts = [erased.left(method, artists, "works", own) for own in (True, False)]
        rows.append([method, *map(with_span, [*parts, erased.left(method, artists, OBJECTS)])])
    return markdown_table(["method", "the artist's works, %", "works by the others, %", "ten objects, %"], rows)


def picture(erased: Erased, method: str, artists: Sequence[str]) -> Figure:
    """One work of each artist and one object, after each was erased."""
    firsts = [next(at for at, each in enumerate(ASKED) if each[1] == column) for column in COLUMNS]
    figure = Figure(figsize=(1.15 * len(COLUMNS) + 0.7, 1.15 * (1 + len(artists))), layout="constrained")
    axes = figure.subplots(1 + len(artists), len(COLUMNS), squeeze=False)
    for row, artist in zip(axes, (NOBODY, *artists), strict=True):
        images = erased.images(method, artist)
        for axis, at, column in zip(row, firsts, COLUMNS, strict=True):
            axis.imshow(images[at][0], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if artist == NOBODY:
                axis.set_title(f"by {column}" if column != OBJECTS else ASKED[at][0], fontsize=9)
        row[0].set_ylabel(f"without {artist}" if artist != NOBODY else UNEDITED, fontsize=9)
    return figure


def main() -> None:
    parser = page_parser(__doc__, keep="artists")
    parser.add_argument("--artists", nargs="+", choices=list(PALETTES), default=list(PALETTES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="the first has a table and a picture")
    parser.add_argument("--seeds", type=int, default=3, help="pictures of each prompt")
    args = parsed(parser)
    erased, first = Erased(args.seeds, args.keep), args.methods[0]
    parts = {"artists": grid(erased, first, args.artists)}
    parts["artists-methods"] = methods_table(erased, args.methods, args.artists)
    picture(erased, first, args.artists).savefig(args.docs / "erasures-artists.png", dpi=110)
    fill(args.docs / "erasures.md", parts)


if __name__ == "__main__":
    main()
