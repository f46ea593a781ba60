"""How much of what a layer does goes through the others? Each cross-attention severed, with the others held or not.

    python benchmarks/cascade.py                   # the twenty captions, one seed each; some minutes on one core
    python benchmarks/cascade.py --captions 2 --seeds 1 --docs /tmp/pages --keep /tmp/cascade

A severed module changes what later modules read, in the same step and in all that follow. Here each is severed as
usual, and again while the fifteen others give what they give in the untouched run: what is lost then is its own part.
Other kinds of layers follow in both. Intervals are over captions. Goes into docs/layers.md; a run that was killed goes
on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import torch
from caption_branches import caption_branches
from pages import fill, page_parser, parsed

import turpentine as tp
from turpentine.core.markdown import markdown_table
from turpentine.explain._branches import LAYOUT, SAME
from turpentine.explain._pages import spanned
from turpentine.explain._subjects import captions
from turpentine.judges import EmojiJudge
from turpentine.models.branches import Intervention
from turpentine.models.hooks import zero
from turpentine.models.identity import describe
from turpentine.stats.intervals import Estimate, Rate, mean_score

STEPS, ROUNDS = 10, 1000
FREE, HELD = "", "held: "
"""What the names of runs begin with."""

RATES = tuple(f"{name}{SAME}" for name in ("object", "style", "colour"))


def interventions(model: tp.Model) -> dict[str, Intervention]:
    """Each module severed, and severed with the others' outputs copied from the untouched run."""
    modules = model.sites.only(kind="cross-attention", level="module")
    ones = {site.label: modules.only(label=site.label) for site in modules}
    free = {f"{FREE}{label}": Intervention(after={one: zero}) for label, one in ones.items()}
    held = {f"{HELD}{label}": Intervention(after={one: zero}, copied=modules - one) for label, one in ones.items()}
    return {**free, **held}


def cells(rows: pl.DataFrame) -> list[str]:
    """The layout that is left, and the judge's columns, of one run's pictures."""
    clusters = rows.select("prompt").rows()
    rates = [Rate.of(rows[name].to_list(), clusters) for name in RATES]
    return [spanned(mean_score(rows[LAYOUT].to_list(), clusters=clusters)), *(spanned(rate) for rate in rates if rate)]


def own_share(rows: pl.DataFrame, labels: list[str]) -> Estimate:
    """What the modules lose of the layout with the others held, of what they lose as usual, summed over modules."""
    lost = 1 - np.stack([_by_caption(rows, [f"{begin}{label}" for label in labels]) for begin in (HELD, FREE)])
    draws = np.random.default_rng(0).integers(lost.shape[1], size=(ROUNDS, lost.shape[1]))
    shares = [lost[0, draw].sum() / lost[1, draw].sum() for draw in draws]
    return Estimate(float(lost[0].sum() / lost[1].sum()), *map(float, np.percentile(shares, [2.5, 97.5])))


def _by_caption(rows: pl.DataFrame, names: list[str]) -> np.ndarray:
    """The mean layout of each caption, by run."""
    some = rows.filter(pl.col("letters").is_in(names)).group_by("prompt", "letters", maintain_order=True)
    means = some.agg(pl.col(LAYOUT).mean()).partition_by("prompt", maintain_order=True)
    return np.stack([part[LAYOUT].to_numpy() for part in means])


def tables(rows: pl.DataFrame, labels: list[str]) -> Mapping[str, str]:
    """A line for each module, and what all of them do by themselves."""
    lines = []
    for label in labels:
        for name, begin in (("as usual", FREE), ("others held", HELD)):
            lines.append([label, name, *cells(rows.filter(pl.col("letters") == f"{begin}{label}"))])
    head = ["severed", "", f"{LAYOUT}, %", *(f"{name}, %" for name in RATES)]
    share = (
        f"Of the layout that goes, over all modules, {spanned(own_share(rows, labels))} % goes with the others held."
    )
    return {"cascade": f"{markdown_table(head, lines)}\n\n{share}"}


def main() -> None:
    parser = page_parser(__doc__, keep="cascade")
    parser.add_argument("--captions", type=int, default=20, help="how many of the captions")
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each")
    args = parsed(parser)
    model, judge = tp.load(dtype=torch.float32), EmojiJudge()
    labels = [site.label for site in model.sites.only(kind="cross-attention", level="module")]
    prompts = [subject.prompt for subject in captions()[: args.captions]]
    about = [describe(model), STEPS]
    branches = caption_branches(model, interventions(model), prompts, args.seeds, args.keep, about, steps=STEPS)
    fill(args.docs / "layers.md", tables(branches.rows(judge), labels))


if __name__ == "__main__":
    main()
