"""The tables and the picture of docs/attacks.md, from the folders of benches of attacks that are over.

python benchmarks/attacks.py runs/attacks runs/attacks-esd --words runs/attacks-words --tokens runs/attacks-tokens-*

The page has the commands that fill these folders.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from pages import DOCS, fill
from PIL import Image, ImageDraw, ImageFont

from turpentine.attack.controls import EDITED, NEVER, NO_ATTACK
from turpentine.bench.attack_bench import TABLE, AttackTable, rate_of
from turpentine.bench.attack_jobs import artefact_path
from turpentine.core.atomic_files import write_whole
from turpentine.core.formatting import points_with_span, with_span
from turpentine.core.markdown import markdown_table

SHOWN, SIDE, LABEL, GAP = 4, 64, 130, 14
"""Pictures in a cell, and pixels of one, of a row's name, and between cells."""
COLOURS = 200


def rates(whole: AttackTable) -> str:
    """Attack by method and control."""
    head, lines = whole.board()
    marked = [[_name(whole, name), *cells] for name, *cells in lines]
    return markdown_table([each.removesuffix(", %") for each in head], marked)


def _name(whole: AttackTable, attack: str) -> str:
    model = whole.rows["model"][0]
    return f"`{attack}` (no power)" if whole.has_power(model, attack) is False else f"`{attack}`"


def beyond(whole: AttackTable) -> str:
    """What each attack brings back beyond plain prompts, and beyond what was never seen, in points."""
    methods = [key for key in whole.columns if key[1] == EDITED]
    attacks = [each for each in whole.attacks if each != NO_ATTACK]
    lines = []
    for attack in attacks:
        for arm, what in ((EDITED, "than plain prompts"), (NEVER, "than of what was never seen")):
            cells = [whole.beyond(model, method, attack, arm) for model, _, method in methods]
            lines.append([f"`{attack}`, more {what}", *(points_with_span(each) if each else "" for each in cells)])
    return markdown_table(["", *(method for *_, method in methods)], lines)


def by_concept(whole: AttackTable) -> str:
    """Percent on each concept and method: without an attack and with each."""
    methods = [method for _, arm, method in whole.columns if arm == EDITED]
    edited = whole.over_seeds.filter(arm=EDITED)
    lines = []
    for concept in edited["concept"].unique(maintain_order=True):
        cells = []
        for method in methods:
            rows = edited.filter(concept=concept, method=method)
            each = [rows.filter(attack=attack)["success"].to_list() for attack in whole.attacks]
            cells.append(" / ".join(f"{100 * values[0]:.0f}" if values else "–" for values in each))
        lines.append([concept, *(cell if set(cell) - set("– /") else "" for cell in cells)])
    return markdown_table(["", *methods], lines)


def spent(whole: AttackTable) -> str:
    """What a search spends on an edited model, in the mean."""
    lines = []
    for attack in whole.attacks:
        rows = whole.rows.filter(arm=EDITED, attack=attack)
        means = [f"{rows[name].to_numpy().mean():,.0f}" for name in ("forward", "backward", "text", "judged")]
        if attack != NO_ATTACK:
            best = whole.pooled.filter(arm=EDITED, attack=attack).sort("success").rows(named=True)[-1]
            lines.append([f"`{attack}`", *means, f"{with_span(rate_of(best))}, {best['method']}"])
    return markdown_table(["", "rows", "rows back", "texts", "judged", "most that comes back"], lines)


def sheet(whole: AttackTable, folders: Sequence[Path], concept: str) -> Image.Image:
    """Pictures of one concept: methods and controls down, attacks across."""
    keys = [key for key in whole.columns if key[1] != NEVER]
    never = whole.rows.filter(arm=NEVER)["concept"].unique(maintain_order=True).to_list()[:1]
    lines = [(method or arm, concept, arm, method) for _, arm, method in keys]
    lines += [(f"never seen: {name}", name, NEVER, "") for name in never]
    width = SHOWN * SIDE + GAP
    canvas = Image.new("RGB", (LABEL + len(whole.attacks) * width, 30 + len(lines) * (SIDE + 6)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for column, attack in enumerate(whole.attacks):
        draw.text((LABEL + column * width, 8), attack, "black", font)
    for line, (name, what, arm, method) in enumerate(lines):
        y = 30 + line * (SIDE + 6)
        draw.text((4, y + SIDE // 2 - 8), name, "black", font)
        for column, attack in enumerate(whole.attacks):
            of = {"model": whole.rows["model"][0], "concept": what, "method": method}
            row = {**of, "attack": attack, "arm": arm, "seed": None}
            paths = [path for folder in folders if (path := artefact_path(folder, row, ".png")).is_file()]
            for place, tile in enumerate(_tiles(paths[0]) if paths else ()):
                canvas.paste(tile, (LABEL + column * width + place * SIDE, y))
    return canvas.quantize(COLOURS)


def _tiles(path: Path) -> list[Image.Image]:
    with Image.open(path) as whole:
        side = whole.width // 10
        tiles = [whole.crop((side * place, 0, side * (place + 1), side)) for place in range(SHOWN)]
    return [each.resize((SIDE, SIDE), Image.Resampling.NEAREST) for each in tiles]


def read(folders: Sequence[Path]) -> AttackTable:
    """The rows of several benches, each once."""
    rows = pl.concat([pl.read_parquet(folder / TABLE) for folder in folders])
    return AttackTable("", rows.unique(["model", "concept", "method", "attack", "arm", "seed"], maintain_order=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill the page, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="of the benches, whose rows are put together")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where attacks.md and attacks.png are")
    parser.add_argument("--concept", default="church", help="of the picture")
    parser.add_argument("--words", type=Path, nargs="+", default=[], help="of attacks by words and noise, in a table")
    parser.add_argument("--tokens", type=Path, nargs="+", default=[], help="of searches for tokens, in a table")
    chosen = parser.parse_args(arguments)
    whole = read(chosen.folders)
    parts = {"rates": rates(whole), "beyond": beyond(whole), "by concept": by_concept(whole), "spent": spent(whole)}
    for name, folders in (("words", chosen.words), ("tokens", chosen.tokens)):
        if folders:
            apart = read(folders)
            parts |= {name: rates(apart), f"{name} by concept": by_concept(apart)}
    fill(chosen.docs / "attacks.md", parts)
    with write_whole(chosen.docs / "attacks.png") as aside:
        sheet(whole, chosen.folders, chosen.concept).save(aside, "PNG", optimize=True)


if __name__ == "__main__":
    main()
