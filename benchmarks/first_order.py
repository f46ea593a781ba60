"""Is CAD's first order right? Predicted against measured changes of J over random subsets, into docs/methods.md.

    python benchmarks/first_order.py                               # ten objects, 100 subsets each
    python benchmarks/first_order.py --objects church --trials 1000

Each subset is a thousandth of the feed-forward weights, set to 0. Slope and offset are those of the least-squares
line of what is measured on what is predicted; the offset is in percent of J. An object is stored as it is done: a run
that was killed goes on.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from pages import fill, page_parser, parsed

import turpentine as tp
from turpentine.attribution import approximation
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import Parts
from turpentine.emoji.world import TEN
from turpentine.erase.cad import CAD
from turpentine.models.identity import describe
from turpentine.stats.intervals import Rate, mean_score

SHARE, ROUNDS = 0.001, 2000

Values = Float[np.ndarray, " trial"]
HEAD = ["object", "r", "slope", "offset, % of J", "sign foretold, %"]


class Checks:
    """Predicted and measured changes of J, for each object, as shares of J."""

    def __init__(self, trials: int, keep: Path) -> None:
        self.model, self.trials = tp.load(dtype=torch.float32), trials
        self.settings = CAD.preset(self.model, trials=0)
        self.parts = Parts(keep, [describe(self.model), repr(self.settings), trials, SHARE])

    def of(self, obj: str) -> tuple[Values, Values]:
        """Predicted and measured, over J."""

        def check() -> dict[str, torch.Tensor]:
            start = time.monotonic()
            attribution = self.settings.attribution(self.model, tp.Concept(obj))
            whole = attribution.objective.value(self.model, batch_size=20)
            found = approximation(attribution, trials=self.trials, share=SHARE, batch_size=20)
            print(f"{obj}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            return {
                "predicted": torch.from_numpy(found.predicted / whole),
                "measured": torch.from_numpy(found.measured / whole),
            }

        part = self.parts.part(obj, check)
        return part["predicted"].numpy(), part["measured"].numpy()


def statistics(predicted: Values, measured: Values) -> tuple[float, float, float]:
    """Pearson's r, and slope and offset of the line."""
    slope, offset = np.polyfit(predicted, measured, 1)
    return float(np.corrcoef(predicted, measured)[0, 1]), float(slope), 100 * float(offset)


def cells(predicted: Values, measured: Values) -> list[str]:
    """The numbers of one object, with intervals from resampled subsets."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(predicted), size=(ROUNDS, len(predicted)))
    ends = np.percentile([statistics(predicted[at], measured[at]) for at in draws], [2.5, 97.5], axis=0).T
    values = statistics(predicted, measured)
    right = Rate.of((np.sign(predicted) == np.sign(measured)).tolist())
    assert right is not None  # there is a subset at least
    spans = [f"{value:.2f} ({low:.2f} to {high:.2f})" for value, (low, high) in zip(values, ends, strict=True)]
    return [*spans, f"{100 * right.value:.0f} ({100 * right.low:.0f}–{100 * right.high:.0f})"]


def mean_cells(each: list[tuple[Values, Values]]) -> list[str]:
    """The means over objects, with intervals over them."""
    numbers = [[*statistics(x, y), 100 * float((np.sign(x) == np.sign(y)).mean())] for x, y in each]
    means = [mean_score(list(column)) for column in zip(*numbers, strict=True)]
    spans = [f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in means[:3]]
    value, low, high = means[3]
    return [*spans, f"{value:.0f} ({low:.0f}–{high:.0f})"]


def scatter(each: dict[str, tuple[Values, Values]]) -> Figure:
    """A panel for each object."""
    across = min(5, len(each))
    figure = Figure(figsize=(2.1 * across, 2.1 * -(-len(each) // across)), layout="constrained")
    axes = figure.subplots(-(-len(each) // across), across, sharex=True, sharey=True, squeeze=False)
    for axis, (obj, (predicted, measured)) in zip(axes.ravel(), each.items(), strict=False):
        axis.axline((0, 0), slope=1, color="#999999", linewidth=0.8)
        axis.scatter(100 * predicted, 100 * measured, s=6, color="#1f4e8c", alpha=0.6, linewidths=0)
        axis.set_title(f"{obj}: r {statistics(predicted, measured)[0]:.2f}", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    figure.supxlabel("foretold fall of J, %", fontsize=9)
    figure.supylabel("measured, %", fontsize=9)
    return figure


def main() -> None:
    parser = page_parser(__doc__, keep="first-order")
    parser.add_argument("--objects", nargs="+", default=list(TEN))
    parser.add_argument("--trials", type=int, default=100, help="random subsets of each object")
    args = parsed(parser)
    checks = Checks(args.trials, args.keep)
    each = {obj: checks.of(obj) for obj in args.objects}
    rows = [[obj, *cells(*pair)] for obj, pair in each.items()]
    if len(each) > 1:
        rows.append(["mean of all", *mean_cells(list(each.values()))])
    scatter(each).savefig(args.docs / "methods-first-order.png", dpi=110)
    fill(args.docs / "methods.md", {"first-order": markdown_table(HEAD, rows)})


if __name__ == "__main__":
    main()
