"""Are the components that carry an object, a style and a colour the same? The overlap of their traces' best.

    python benchmarks/overlap.py                   # a quarter of an hour on one core, for traces with two seeds
    python benchmarks/overlap.py --captions 4 --seeds 1 --docs /tmp/pages --keep /tmp/overlap

The traces are those of `turpentine explain tracing` for the denoiser, over the same twenty captions for each attribute.
The best of each are its components with the largest effects; what two have in common is their Jaccard index, the shared
over all that either has. So that chance has its part: the same of an attribute with itself, between two halves of
the captions. Intervals are over captions. Goes into docs/tracing.md; a run that was killed goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pages import fill, page_parser, parsed

import turpentine as tp
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import Tensors
from turpentine.explain._subjects import captions
from turpentine.explain.cache import parts_of
from turpentine.explain.trace import Trace
from turpentine.judges import EmojiJudge
from turpentine.stats.correlation import spearman
from turpentine.stats.intervals import Estimate

ATTRIBUTES = ("object", "style", "colour")
STEPS, BEST, ROUNDS = 10, 6, 1000

Effects = Float[np.ndarray, "caption component"]
"""Mean of restored − corrupted over a caption's pictures."""

Alike = Callable[[Effects, Effects], float]
"""How far two attributes go together."""


def best(effects: Effects) -> set[int]:
    """The numbers of the components with the largest effects."""
    return set(np.argsort(-effects.mean(0), kind="stable")[:BEST].tolist())


def jaccard(one: Effects, other: Effects) -> float:
    """What the best of two have in common, over all that either has."""
    a, b = best(one), best(other)
    return len(a & b) / len(a | b)


def ranks_alike(one: Effects, other: Effects) -> float:
    """Spearman's correlation of two attributes' effects over all components."""
    return spearman(one.mean(0), other.mean(0))


def with_interval(of: Alike, one: Effects, other: Effects) -> Estimate:
    """A number of two attributes, and its percentile interval over captions, which are the same for both."""
    rng, count = np.random.default_rng(0), len(one)
    draws = [rng.integers(count, size=count) for _ in range(ROUNDS)]
    low, high = np.nanpercentile([of(one[draw], other[draw]) for draw in draws], [2.5, 97.5])
    return Estimate(of(one, other), float(low), float(high))


def between_halves(of: Alike, effects: Effects) -> Estimate:
    """The same of an attribute with itself, between halves of its captions: the mean over splits, and their span."""
    rng, count = np.random.default_rng(0), len(effects)
    orders = [rng.permutation(count) for _ in range(ROUNDS)]
    each = [of(effects[order[: count // 2]], effects[order[count // 2 :]]) for order in orders]
    return Estimate(float(np.nanmean(each)), *map(float, np.nanpercentile(each, [2.5, 97.5])))


def effects_of(model: tp.Model, judge: EmojiJudge, attribute: str, count: int, seeds: int, keep: Path) -> Effects:
    """An attribute's effects by caption, traced with the seeds; what is in the folder is not drawn again."""
    trace, subjects = Trace("denoiser", attribute, steps=STEPS), captions()[:count]
    of = [subject for subject in subjects for _ in range(seeds)]
    words, numbers = [str(subject.word(attribute)) for subject in of], list(range(seeds)) * count
    prompts = [subject.prompt for subject in of]
    trace(model, prompts, numbers, concept=words, label=words, judge=judge, cache=keep)
    parts = parts_of(keep, model, trace, judge)
    scores = [parts.part(key, _missing)["scores"].numpy() for key in zip(prompts, numbers, words, words, strict=True)]
    changes = np.stack([each[2:].astype(float) - float(each[1]) for each in scores])
    print(f"{attribute}: traced", file=sys.stderr, flush=True)
    return changes.reshape(len(subjects), seeds, -1).mean(1)


def _missing() -> Tensors:
    raise RuntimeError("A part that was traced just now is not there.")


def rows(effects: Sequence[Effects]) -> list[list[str]]:
    """A line for each pair of attributes, and for each with itself."""
    lines = []
    for (name, one), (other_name, other) in combinations(zip(ATTRIBUTES, effects, strict=True), 2):
        shared = len(best(one) & best(other))
        numbers = with_interval(jaccard, one, other), with_interval(ranks_alike, one, other)
        lines.append([f"{name} and {other_name}", f"{shared} of {BEST}", *map(_told, numbers)])
    for name, one in zip(ATTRIBUTES, effects, strict=True):
        numbers = between_halves(jaccard, one), between_halves(ranks_alike, one)
        lines.append([f"{name}, two halves of the captions", "–", *map(_told, numbers)])
    return lines


def _told(number: Estimate) -> str:
    return f"{number.value:.2f} ({number.low:.2f} to {number.high:.2f})"


def main() -> None:
    parser = page_parser(__doc__, keep="overlap")
    parser.add_argument("--captions", type=int, default=20, help="how many of the captions")
    parser.add_argument("--seeds", type=int, default=2, help="pictures of each")
    args = parsed(parser)
    model, judge = tp.load(dtype=torch.float32), EmojiJudge()
    effects = [effects_of(model, judge, each, args.captions, args.seeds, args.keep) for each in ATTRIBUTES]
    head = ["", "best in common", "Jaccard", "ρ over all components"]
    fill(args.docs / "tracing.md", {"overlap": markdown_table(head, rows(effects))})


if __name__ == "__main__":
    main()
