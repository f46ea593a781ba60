"""In which blocks of `emoji-mmdit` objects' words add most to the picture, and if the objects go with others there.

    python benchmarks/concept_blocks.py          # some five minutes on one core
    python benchmarks/concept_blocks.py --prompts 1 --steps 1 --docs /tmp/pages

One picture of each object, "a church" and so on, seed 0. The other prompt is the empty one, or another object's. Goes
into docs/families.md; intervals are over prompts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pages import DOCS, fill

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import two_digits
from turpentine.core.markdown import markdown_table
from turpentine.emoji.world import TEN
from turpentine.explain.blocks import Blocks, BlocksFinding
from turpentine.judges import EmojiJudge

TARGETS = {"": "no words", "cat": "“a cat”"}


def found(model: tp.Model, objects: list[str], target: str, steps: int) -> BlocksFinding:
    """Return the finding on one picture of each object."""
    prompts = [with_article(name) for name in objects]
    instrument = Blocks(target=target, column="object", steps=steps)
    return instrument(model, prompts, [0] * len(prompts), concept=objects, judge=EmojiJudge())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=10, help="of the ten objects, at most")
    parser.add_argument("--steps", type=int, default=8, help="of a picture")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the page")
    args = parser.parse_args()
    args.docs.mkdir(parents=True, exist_ok=True)
    model, objects = tp.load("emoji-mmdit", device="cpu", dtype="float32"), list(TEN)[: args.prompts]
    findings = {target: found(model, objects, target, args.steps) for target in TARGETS}
    scores = [
        [
            row["label"],
            f"{two_digits(row['score'])} ({two_digits(row['low'])}–{two_digits(row['high'])})",
            str(row["n"]),
        ]
        for row in findings[""].table.rows(named=True)
    ]
    checks = [
        [words, row["blocks"], row["labels"] or "–", _span(row), str(row["n"])]
        for target, words in TARGETS.items()
        for row in findings[target].check.rows(named=True)
    ]
    tables = {
        "concept-blocks": markdown_table(["block", "what the words add", "n"], scores),
        "concept-blocks-check": markdown_table(
            ["read instead", "where", "blocks", "without the object, %", "n"], checks
        ),
    }
    fill(args.docs / "families.md", tables)


def _span(row: dict[str, float]) -> str:
    return "{:.0f} ({:.0f}–{:.0f})".format(*(100 * row[key] for key in ("score", "low", "high")))


if __name__ == "__main__":
    main()
