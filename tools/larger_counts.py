"""Count what the larger world has beside the smaller one's, as `emoji-64` ships: into its card, between marks.

python tools/larger_counts.py --out src/turpentine/emoji/larger           # half an hour on one core
python tools/larger_counts.py --captions 3 --seeds 1 --steps 2 --out /tmp/larger

Objects with a colour of their own and two objects in a relation, on captions as its training had them; how often the
measures are right on renders of the same captions, where the truth is known; and, with fewer seeds, the lines that were
counted before the weights were rounded to int8. Intervals are over captions, or over labels.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from card_cases import percent
from PIL import Image
from world_card import TITLES, put_tables, rate_of
from world_counts import Draw, rates
from world_session import Session

import turpentine as tp
from turpentine.audit.damage import halves_of
from turpentine.core.markdown import markdown_table
from turpentine.emoji import LARGER_NAME, LARGER_WEIGHTS
from turpentine.emoji.captions import LARGER, Captioned, stream
from turpentine.emoji.judge_network import JudgeNet, load_judge
from turpentine.emoji.world import render
from turpentine.stats.intervals import Rate

STREAM = 77
"""Seed of the captions; training had others."""

Hit = tuple[str, bool]
"""What was asked, and whether the picture shows it."""


class Sight:
    """What the larger world's judge sees."""

    def __init__(self) -> None:
        self.network: JudgeNet = load_judge(LARGER_WEIGHTS / "judge.safetensors")

    def best(self, question: str, images: Sequence[Image.Image]) -> list[str]:
        """Return the likeliest answer to a question, by picture."""
        answers = self.network.probabilities(images)[question].argmax(1).tolist()
        return [self.network.answers[question][answer] for answer in answers]

    def two(self, images: Sequence[Image.Image]) -> list[set[str]]:
        """Return the two likeliest objects, by picture."""
        top = self.network.probabilities(images)["object"].topk(2).indices.tolist()
        return [{self.network.answers["object"][answer] for answer in row} for row in top]

    def tinted(self, captions: Sequence[Captioned], images: Sequence[Image.Image]) -> Iterator[list[Hit]]:
        """Yield of each picture whether object, its colour, and the background, if named, are the caption's."""
        objects, tints, colours = (self.best(question, images) for question in ("object", "tint", "colour"))
        for caption, obj, tint, colour in zip(captions, objects, tints, colours, strict=True):
            (only,), background = caption.picture.placed, caption.picture.background
            found = [("a coloured object: the object", obj == only.object), ("its colour", tint == only.tint)]
            if f"{background} background" in caption.caption:
                found.append(("the background's colour", colour == background))
            yield [*found, ("object and colour", obj == only.object and tint == only.tint)]

    def related(self, captions: Sequence[Captioned], images: Sequence[Image.Image]) -> Iterator[list[Hit]]:
        """Yield of each picture whether both objects are there, and whether each is in its half."""
        sides = [sides_of(image, upright=is_upright(each)) for each, image in zip(captions, images, strict=True)]
        seen = self.best("object", [side for pair in sides for side in pair])
        for number, (caption, both) in enumerate(zip(captions, self.two(images), strict=True)):
            first, second = in_order(caption)
            yield [
                ("two objects in a relation: both seen", both == {first, second}),
                ("each in its half", seen[2 * number : 2 * number + 2] == [first, second]),
            ]


def is_upright(caption: Captioned) -> bool:
    """Whether one object stands above the other, and not beside it."""
    return " above " in caption.caption or " under " in caption.caption


def in_order(caption: Captioned) -> tuple[str, str]:
    """Return the two objects from the left, or from above."""
    one, other = caption.picture.placed
    is_first = (one.y < other.y) if is_upright(caption) else (one.x < other.x)
    return (one.object, other.object) if is_first else (other.object, one.object)


def sides_of(image: Image.Image, *, upright: bool) -> tuple[Image.Image, Image.Image]:
    """Return the left and the right half of a picture, or the upper and the lower, as an audit's measure has them."""
    if not upright:
        return halves_of(image)
    turned = Image.Transpose.TRANSPOSE
    above, below = halves_of(image.transpose(turned))
    return above.transpose(turned), below.transpose(turned)


def counted(kind: str, count: int, seeds: int, draw: Draw, sight: Sight) -> list[tuple[str, Rate, Rate]]:
    """Return each question of a kind of caption with its rate in drawn pictures, and in renders."""
    captions = list(islice((each for each in stream(STREAM, LARGER) if each.kind == kind), count))
    see = sight.tinted if kind == "tinted" else sight.related
    every = [each for each in captions for _ in range(seeds)]
    drawn = list(see(every, draw([each.caption for each in every], list(range(seeds)) * count)))
    rendered = list(see(captions, [Image.fromarray(render(each.picture, 64)) for each in captions]))
    return [
        (title, rate_for(title, every, drawn), rate_for(title, captions, rendered))
        for title in dict.fromkeys(title for found in drawn for title, _ in found)
    ]


def rate_for(title: str, captions: Sequence[Captioned], found: Sequence[Sequence[Hit]]) -> Rate:
    """Return how often a question's answer is the caption's, with an interval over captions."""
    asked = [
        (hit, (each.caption,))
        for each, hits in zip(captions, found, strict=True)
        for name, hit in hits
        if name == title
    ]
    rate = Rate.of([hit for hit, _ in asked], [cluster for _, cluster in asked])
    assert rate is not None
    return rate


def new_lines(captions: int, seeds: int, draw: Draw) -> str:
    """Return the table of what the larger world has beside the smaller one's."""
    sight = Sight()
    rows = [
        (title, percent(drawn), str(drawn.n), percent(rendered), str(rendered.n))
        for kind in ("tinted", "relation")
        for title, drawn, rendered in counted(kind, captions, seeds, draw, sight)
    ]
    head = ("what", "drawn (95 % interval over captions)", "pictures", "the measure on renders", "renders")
    return markdown_table(head, rows)


def old_lines(folder: Path, hits: dict[str, dict[str, list[int]]]) -> str:
    """Return the table of the card's lines: as they were counted before rounding, and of what ships."""
    before: dict[str, Any] = json.loads((folder / "card.json").read_text())["hits"]
    rows = []
    for kind, title in TITLES.items():
        one, other = rate_of(before[kind]), rate_of(hits[kind])
        rows.append((title, percent(one), str(one.n), percent(other), str(other.n)))
    return markdown_table(("what", "before rounding", "pictures", "as it ships", "pictures"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--captions", type=int, default=60, help="of each kind")
    parser.add_argument("--seeds", type=int, default=2, help="of a caption, and of a label of the card's lines")
    parser.add_argument("--steps", type=int, default=20, help="of a picture")
    parser.add_argument("--out", type=Path, default=LARGER_WEIGHTS, help="folder whose README.md has the tables")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = tp.load(LARGER_NAME)

    def draw(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        return list(model.generate(prompts, seeds=seeds, steps=options.steps, batch_size=32, progress=False))

    new = new_lines(options.captions, options.seeds, draw)
    print(new)
    session = Session(options.out, options.out, "cpu", math.inf, False, options.seeds, 0.0)
    hits: Any = rates(session, draw)["hits"]
    tables = f"{new}\n\n{old_lines(LARGER_WEIGHTS, hits)}\n"
    print(tables)
    options.out.mkdir(parents=True, exist_ok=True)
    put_tables(options.out, tables, "as it ships")


if __name__ == "__main__":
    main()
