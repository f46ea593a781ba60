"""Erase each of the ten with ESD-x and ESD-u, then a style and an artist, and write the tables of docs/erasures.md.

    python benchmarks/erasures.py                 # some twenty minutes on two cores; a killed run continues
    python benchmarks/erasures.py --seeds 5 --out /tmp/erasures --doc /tmp/erasures.md

Every model, edited or not, draws the same prompts with the same seeds. Edits and rows stay in ``--out``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import turpentine as tp
from turpentine.bench.cases import Case
from turpentine.bench.intervals import Rate, paired_bootstrap
from turpentine.bench.measure import measure
from turpentine.bench.protocol import Protocol
from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import NEIGHBOURS, SCENES, STYLES, TEN, WORKS, styles_of
from turpentine.files import safe_name, write_whole
from turpentine.judges import EmojiJudge
from turpentine.models.load import load

METHODS = ("x", "u")


@dataclass(frozen=True)
class Erasure:
    """One concept taken out with one parameter set of ESD."""

    concept: tp.Concept
    sites: str

    @property
    def name(self) -> str:
        return f"{safe_name(self.concept.text)}-esd-{self.sites}"


def cases(kind: str | None = None) -> list[Case]:
    """What a model is asked to draw after a concept of this kind was erased; all of it for None."""
    asked = [Case("object", obj, object_caption(obj), "object", obj) for obj in TEN]
    if kind in (None, "object"):
        asked += [Case("scene", scene, scene, "object", obj) for scene, obj in SCENES.items() if obj in TEN]
    if kind in (None, "style"):
        for s, style in enumerate(STYLES):
            drawn = [obj for obj in TEN if style in styles_of(obj)]
            chosen = [drawn[(s + 2 * k) % len(drawn)] for k in range(2)]
            asked += [Case("style", style, object_caption(obj, style), "style", style) for obj in chosen]
    if kind in (None, "artist"):
        asked += [Case("work", work.title, work.caption, "work", work.title) for work in WORKS]
        asked += [Case("title", work.title, work.title, "work", work.title) for work in WORKS]
    return asked


def erasures() -> Iterator[Erasure]:
    for sites in METHODS:
        for obj in TEN:
            yield Erasure(tp.Concept(obj), sites)
        yield Erasure(tp.Concept("ink", kind="style"), sites)
        yield Erasure(tp.Concept("lumen", kind="artist"), sites)


class Rows:
    """Measured rows by name, kept in a folder so that a killed run continues."""

    def __init__(self, model: tp.Model, folder: Path, seeds: int) -> None:
        self.model, self.folder = model, folder / model.fingerprint[:12]
        self.judge, self.protocol = EmojiJudge(), Protocol(seeds=tuple(range(seeds)), batch_size=40)

    def unedited(self) -> pl.DataFrame:
        return self._kept("unedited", lambda: measure(self.model, cases(), self.judge, self.protocol).rows)

    def after(self, erasure: Erasure) -> pl.DataFrame:
        return self._kept(erasure.name, lambda: self._erased(erasure))

    def _erased(self, erasure: Erasure) -> pl.DataFrame:
        path = self.folder / f"{erasure.name}.safetensors"
        if not path.exists():
            tp.methods.ESD.preset(self.model.name, sites=erasure.sites)(self.model, erasure.concept).save(path)
        with tp.Edit.load(path).on(self.model):
            return measure(self.model, cases(erasure.concept.kind), self.judge, self.protocol).rows

    def _kept(self, name: str, make) -> pl.DataFrame:
        path = self.folder / f"{name}-{len(self.protocol.seeds)}.parquet"
        if not path.exists():
            began = time.monotonic()
            rows = make()
            with write_whole(path) as aside:
                rows.write_parquet(aside)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return pl.read_parquet(path)


def rate(rows: pl.DataFrame, *conditions: pl.Expr) -> Rate:
    found = Rate.of(rows.filter(*conditions)["hit"].to_list())
    assert found is not None
    return found


def percent(found: Rate) -> str:
    return f"{100 * found.value:.0f} ({100 * found.low:.0f}–{100 * found.high:.0f})"


GROUP, LABEL, WANTED = pl.col("group"), pl.col("label"), pl.col("wanted")


def object_row(obj: str, tables: Sequence[pl.DataFrame]) -> str:
    """Erased, neighbours, others and scenes of one object, unedited and after each method."""
    of = {
        "erased": (GROUP == "object", obj == WANTED),
        "others": (GROUP == "object", obj != WANTED),
        "scenes": (GROUP == "scene", obj == WANTED),
    }
    cells = [percent(rate(rows, *conditions)) for conditions in of.values() for rows in tables]
    return f"| {obj} | " + " | ".join(cells) + " |"


def object_table(kept: Rows) -> str:
    before = kept.unedited()
    tables = {obj: [before, *(kept.after(Erasure(tp.Concept(obj), sites)) for sites in METHODS)] for obj in TEN}
    lines = [
        "| | erased: before | ESD-x | ESD-u | others: before | ESD-x | ESD-u | scenes: before | ESD-x | ESD-u |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(object_row(obj, rows) for obj, rows in tables.items()),
        "| **mean** | " + " | ".join(f"{m:.1f}" for m in _means(tables)) + " |",
    ]
    return "\n".join(lines)


def _means(tables: dict[str, list[pl.DataFrame]]) -> Iterator[float]:
    wanted = {
        "object": lambda obj: obj == WANTED,
        "other": lambda obj: obj != WANTED,
        "scene": lambda obj: obj == WANTED,
    }
    for what, condition in wanted.items():
        group = "scene" if what == "scene" else "object"
        for index in range(1 + len(METHODS)):
            rates = [rate(rows[index], group == GROUP, condition(obj)).value for obj, rows in tables.items()]
            yield 100 * sum(rates) / len(rates)


def neighbour_lines(kept: Rows) -> str:
    """How much more the objects named as an erased one's neighbours lose than the rest of the ten do."""
    lines = []
    for sites in METHODS:
        near, far = [], []
        for obj in TEN:
            before, after = kept.unedited(), kept.after(Erasure(tp.Concept(obj), sites))
            for group, kept_rows in ((near, WANTED.is_in(NEIGHBOURS[obj])), (far, ~WANTED.is_in(NEIGHBOURS[obj]))):
                chosen = (GROUP == "object") & (obj != WANTED) & kept_rows
                group += zip(before.filter(chosen)["hit"], after.filter(chosen)["hit"], strict=True)
        for name, pairs in (("neighbours among the ten", near), ("the rest", far)):
            if pairs:
                d = paired_bootstrap(*(list(side) for side in zip(*pairs, strict=True)))
                lines.append(
                    f"| ESD-{sites} | {name} | {100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f}) |"
                )
    return "\n".join(["| | | change in points |", "|---|---|---|", *lines])


def style_table(kept: Rows) -> str:
    of = {"ink": (GROUP == "style", WANTED == "ink"), "the seven other styles": (GROUP == "style", WANTED != "ink")}
    of["the ten objects"] = (GROUP == "object",)
    return _small_table(kept, tp.Concept("ink", kind="style"), of)


def artist_table(kept: Rows) -> str:
    mine = [work.title for work in WORKS if work.artist == "lumen"]
    of = {
        "works by lumen, title and artist named": (GROUP == "work", LABEL.is_in(mine)),
        "works by lumen, title alone": (GROUP == "title", LABEL.is_in(mine)),
        "works by others, title and artist named": (GROUP == "work", ~LABEL.is_in(mine)),
        "the ten objects": (GROUP == "object",),
    }
    return _small_table(kept, tp.Concept("lumen", kind="artist"), of)


def _small_table(kept: Rows, concept: tp.Concept, of: dict[str, tuple[pl.Expr, ...]]) -> str:
    tables = [kept.unedited(), *(kept.after(Erasure(concept, sites)) for sites in METHODS)]
    lines = ["| | before | ESD-x | ESD-u |", "|---|---|---|---|"]
    lines += [
        f"| {name} | " + " | ".join(percent(rate(rows, *which)) for rows in tables) + " |" for name, which in of.items()
    ]
    return "\n".join(lines)


MARKS = ("objects", "neighbours", "style", "artist")


def fill(doc: Path, tables: dict[str, str]) -> None:
    """Put each table between its marks in the page; what is written around them stays."""
    text = doc.read_text() if doc.exists() else "\n\n".join(f"<!-- {m} -->\n<!-- /{m} -->" for m in MARKS)
    for mark, table in tables.items():
        head, rest = text.split(f"<!-- {mark} -->", 1)
        text = f"{head}<!-- {mark} -->\n{table}\n<!-- /{mark} -->{rest.split(f'<!-- /{mark} -->', 1)[1]}"
    doc.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="pictures for each prompt")
    parser.add_argument("--out", type=Path, default=Path("runs/erasures"))
    parser.add_argument("--doc", type=Path, default=Path(__file__).parent.parent / "docs" / "erasures.md")
    args = parser.parse_args()
    kept = Rows(load("emoji"), args.out, args.seeds)
    kept.unedited()
    for erasure in erasures():
        kept.after(erasure)
    tables = (object_table(kept), neighbour_lines(kept), style_table(kept), artist_table(kept))
    fill(args.doc, dict(zip(MARKS, tables, strict=True)))


if __name__ == "__main__":
    main()
