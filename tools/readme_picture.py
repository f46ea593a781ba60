"""Draw the README's picture: the same prompts and seeds before and after an edit.

turpentine erase church
python tools/readme_picture.py runs/church-uce-aligned/edit.safetensors docs/church.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import turpentine as tp
from turpentine.core.imaging import paste_rows

PROMPTS = ("a church", "sunday prayer", "a castle", "a dog", "a truck in flat style", "a house and a horn")
SEEDS = range(6)
CELL, GAP, LABEL, HEAD = 80, 4, 190, 26


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("edit", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    model = tp.load()
    before = pictures(model)
    with tp.Edit.load(args.edit).on(model):
        after = pictures(model)
    sheet(before, after).save(args.out, optimize=True)


def pictures(model: tp.Model) -> list[list[Image.Image]]:
    """A row for each prompt."""
    return [model.generate(prompt, seeds=list(SEEDS)) for prompt in PROMPTS]


def sheet(before: list[list[Image.Image]], after: list[list[Image.Image]]) -> Image.Image:
    """Two blocks side by side, the prompts on the left."""
    block = len(SEEDS) * (CELL + GAP)
    canvas = Image.new("RGB", (LABEL + 2 * block + 3 * GAP, HEAD + len(PROMPTS) * (CELL + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=16)
    for x, (title, rows) in zip((LABEL, LABEL + block + 3 * GAP), (("before", before), ("after", after)), strict=True):
        draw.text((x, 4), title, "#555", font)
        paste_rows(canvas, rows, (x, HEAD), (CELL, CELL), GAP)
    for j, prompt in enumerate(PROMPTS):
        draw.text((GAP, HEAD + j * (CELL + GAP) + CELL // 2 - 10), f"“{prompt}”", "#222", font)
    return canvas


if __name__ == "__main__":
    main()
