"""Why ConceptPrune leaves half of the pictures: its window, and its score, changed one at a time, into docs/methods.md.

    python benchmarks/conceptprune.py
    python benchmarks/conceptprune.py --objects church --pictures 8 --docs /tmp/pages

Every line zeroes weights of the same layers, the second linear of each feed-forward network, and as many of them as
ConceptPrune with its preset does for the same object, but for those with another window. What an edit leaves is
stored as it is done.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from pages import fill, page_parser, parsed
from torch import Tensor

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import RECORDS, Parts
from turpentine.edits import Edit, Provenance
from turpentine.emoji.world import TEN
from turpentine.erase._pruning import zero_largest
from turpentine.erase.cad import CAD
from turpentine.erase.conceptprune import ConceptPrune
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models.identity import describe
from turpentine.stats.intervals import Rate

OBJECTS = ("church", "dog", "truck", "fish")
WINDOWS = {"0–20": (0.0, 0.2), "30–60": (0.3, 0.6), "60–100": (0.6, 1.0), "0–100": (0.0, 1.0)}
STEPS, OTHERS = 10, 3
"""Of a picture; pictures of each of the nine others."""

Make = Callable[[tp.Model, tp.Concept], Edit]


def pruned(window: tuple[float, float]) -> Make:
    """ConceptPrune with its preset and a window."""
    return lambda model, concept: ConceptPrune.preset(model, window=window)(model, concept)


def scored(score: str) -> Make:
    """As many weights of the same layers as ConceptPrune zeroes, by another score."""

    def make(model: tp.Model, concept: tp.Concept) -> Edit:
        like = ConceptPrune.preset(model)(model, concept)
        names = list(like.zeroed)
        share = sum(map(len, like.zeroed.values())) / sum(model.parameter(name).numel() for name in names)
        return Edit(
            provenance=Provenance("CAD", {}, ()), zeroed=zero_largest(_scores(model, concept, names, score), share)
        )

    return make


def _scores(model: tp.Model, concept: tp.Concept, names: list[str], score: str) -> dict[str, Tensor]:
    if score == "random":
        generator = torch.Generator().manual_seed(0)
        return {name: torch.rand(model.parameter(name).shape, generator=generator) for name in names}
    alpha = CAD.preset(model, trials=0).attribution(model, concept).alpha
    # Half of all α are below 0: where there are not enough above, the smallest others follow.
    return {name: alpha[name] - alpha[name].min() + 1e-12 for name in names}


LINES: dict[str, Make] = {
    **{f"ConceptPrune, {name} % of the steps": pruned(window) for name, window in WINDOWS.items()},
    "as many, by CAD’s α": scored("alpha"),
    "as many, at random": scored("random"),
}


def left(model: tp.Model, judge: EmojiJudge, edit: Edit, obj: str, count: int) -> dict[str, list[bool]]:
    """Whether the object's pictures still show it, and the others' theirs; and the share of weights zeroed."""
    objects = [obj] * count + [other for other in TEN if other != obj for _ in range(OTHERS)]
    seeds = list(range(100, 100 + len(objects)))
    with edit.on(model):
        images = model.generate([with_article(each) for each in objects], seeds=seeds, steps=STEPS, batch_size=25)
    seen = list(map(bool, hits(judge, "object", images, objects)))
    return {"own": seen[:count], "others": seen[count:]}


def main() -> None:
    parser = page_parser(__doc__, keep="conceptprune")
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS))
    parser.add_argument("--pictures", type=int, default=25, help="of the object")
    args = parsed(parser)
    model, judge, rows = tp.load(dtype=torch.float32), EmojiJudge(), []
    parts = Parts(args.keep, [describe(model), args.pictures, OTHERS, STEPS], RECORDS)
    for name, make in LINES.items():
        own, others, shares = [], [], []
        for obj in args.objects:
            stored = parts.get([name, obj])
            if stored is None:
                edit = make(model, tp.Concept(obj))
                size = sum(model.parameter(each).numel() for each in edit.zeroed)
                share = sum(map(len, edit.zeroed.values())) / size
                stored = {**left(model, judge, edit, obj, args.pictures), "share": share}
                parts.put([name, obj], stored)
                print(
                    f"{name}, {obj}: {100 * sum(stored['own']) / len(stored['own']):.0f} %", file=sys.stderr, flush=True
                )
            own += [(seen, obj) for seen in stored["own"]]
            others += [(seen, obj) for seen in stored["others"]]
            shares.append(stored["share"])
        rates = [Rate.of([seen for seen, _ in each], [(obj,) for _, obj in each]) for each in (own, others)]
        rows.append([name, f"{100 * sum(shares) / len(shares):.0f}", *(with_span(rate) for rate in rates if rate)])
    head = ["zeroed", "of the weights, %", "still shown, %", "others, %"]
    fill(args.docs / "methods.md", {"conceptprune": markdown_table(head, rows)})


if __name__ == "__main__":
    main()
