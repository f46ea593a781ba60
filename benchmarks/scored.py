"""Are the weights with the largest scores worth training, and do scores tell what an edit has left?

    python benchmarks/scored.py                    # two objects, some minutes on one core
    python benchmarks/scored.py --objects church --updates 2 --pictures 4 --docs /tmp/pages --keep /tmp/scored

Both are open in CAD's paper. The weights that it would zero are zeroed, or trained by ESD with all others held; and as
many at random are trained, and all of the feed-forward layers'. Each edited model is then scored as an audit would: by
J, how far the object's prediction is from the empty prompt's, of which the unedited model has 100 %. Intervals are over
objects and prompts. Goes into docs/methods.md; a run that was killed goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from pages import fill, page_parser, parsed
from torch import Tensor

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.core.parts import RECORDS, Parts
from turpentine.edits import Edit
from turpentine.emoji.world import TEN
from turpentine.erase.cad import CAD
from turpentine.erase.esd import ESD
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models.identity import describe
from turpentine.stats.intervals import Rate

OBJECTS = ("church", "dog")
STEPS, SITES = 10, "feed-forward"
PROMPTS = ("{}", "{} in ink style", "{} on a blue background", "{} in flat style")
"""Of the object, which the edits do not have but for the first."""

Masks = Mapping[str, Tensor]
"""Which weights may change, by name."""


class PartOfESD(ESD):
    """ESD that changes some weights of its sites alone: before each update, and at its end, the others are put back."""

    masks: ClassVar[Masks] = {}

    @classmethod
    def of(cls, masks: Masks) -> type[PartOfESD]:
        """The method for some masks; a weight without one is put back whole."""
        return type(cls.__name__, (cls,), {"masks": masks})

    def __call__(self, model: tp.Model, concept: Any, **about: Any) -> Edit:
        edit = super().__call__(model, concept, **about)
        return Edit({name: delta * self.masks[name] for name, delta in edit.deltas.items() if name in self.masks})

    def _loss(self, model: tp.Model, masters: Any, batch: Any) -> Any:
        with torch.no_grad():
            for name, master in masters.tensors.items():
                before = model.parameter(name).float()
                master.copy_(torch.where(self.masks[name], master, before) if name in self.masks else before)
        return super()._loss(model, masters, batch)


def trained(model: tp.Model, concept: tp.Concept, masks: Masks, updates: int) -> Edit:
    """ESD with the small world's settings on some weights of the feed-forward layers."""
    return PartOfESD.of(masks).preset(model, sites=SITES, steps=updates)(model, concept)


def shuffled(masks: Masks) -> dict[str, Tensor]:
    """As many of each weight at random."""
    generator = torch.Generator().manual_seed(0)
    orders = {name: torch.randperm(mask.numel(), generator=generator) for name, mask in masks.items()}
    return {name: mask.flatten()[orders[name]].view_as(mask) for name, mask in masks.items()}


def edits_of(model: tp.Model, concept: tp.Concept, updates: int) -> dict[str, Callable[[], Edit]]:
    """What is done to the weights, by the name of its line."""
    zeroing = CAD.preset(model, trials=0)(model, concept)
    best = {name: zeroed.mask() for name, zeroed in zeroing.zeroed.items()}
    every = {name: torch.ones_like(mask) for name, mask in best.items()}
    return {
        "the highest zeroed": lambda: zeroing,
        "the highest trained": lambda: trained(model, concept, best, updates),
        "as many at random trained": lambda: trained(model, concept, shuffled(best), updates),
        "all trained": lambda: trained(model, concept, every, updates),
    }


def audit(model: tp.Model, concept: tp.Concept) -> float:
    """J of the model as it is: how far its prediction for the concept is from that for the empty prompt."""
    zeroing = CAD.preset(model, trials=0, trajectories=1)(model, concept)
    return float(zeroing.provenance.measurements["objective"][0])


def seen(model: tp.Model, judge: EmojiJudge, obj: str, pictures: int) -> dict[str, list[bool]]:
    """Whether pictures of the object show it, a prompt after the other, and those of the other nine theirs."""
    own = [prompt.format(with_article(obj)) for prompt in PROMPTS for _ in range(pictures)]
    others = [other for other in TEN if other != obj]
    prompts, labels = own + [with_article(other) for other in others], [obj] * len(own) + others
    seeds = [100 + number for number in range(pictures)] * len(PROMPTS) + list(range(200, 200 + len(others)))
    images = model.generate(prompts, seeds=seeds, steps=STEPS, solver="dpm", batch_size=25)
    shown = list(map(bool, hits(judge, "object", images, labels)))
    return {"own": shown[: len(own)], "others": shown[len(own) :]}


def main() -> None:
    parser = page_parser(__doc__, keep="scored")
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS))
    parser.add_argument("--updates", type=int, default=100, help="of ESD")
    parser.add_argument("--pictures", type=int, default=8, help="of each prompt of the object")
    args = parsed(parser)
    model, judge = tp.load(dtype=torch.float32), EmojiJudge()
    parts = Parts(args.keep, [describe(model), args.updates, args.pictures, STEPS], RECORDS)
    lines: dict[str, list[dict[str, Any]]] = {}
    for obj in args.objects:
        concept = tp.Concept(obj)
        before = audit(model, concept)
        for name, make in edits_of(model, concept, args.updates).items():
            stored = parts.get([name, obj])
            if stored is None:
                with make().on(model):
                    stored = {**seen(model, judge, obj, args.pictures), "audit": audit(model, concept) / before}
                parts.put([name, obj], stored)
                print(f"{name}, {obj}: {sum(stored['own'])} of {len(stored['own'])}", file=sys.stderr, flush=True)
            lines.setdefault(name, []).append({**stored, "object": obj})
    fill(args.docs / "methods.md", {"scored": table(lines, args.pictures)})


def table(lines: Mapping[str, list[dict[str, Any]]], pictures: int) -> str:
    """A line for each edit: what it leaves of the object, of the others, and of J."""
    rows = []
    for name, each in lines.items():
        own = [(hit, (one["object"], at // pictures)) for one in each for at, hit in enumerate(one["own"])]
        others = [(hit, (one["object"], at)) for one in each for at, hit in enumerate(one["others"])]
        rates = [Rate.of([hit for hit, _ in some], [cluster for _, cluster in some]) for some in (own, others)]
        audits = ", ".join(f"{100 * one['audit']:.0f}" for one in each)
        rows.append([name, *(with_span(rate) for rate in rates if rate), audits])
    return markdown_table(["weights of the feed-forward layers", "still shown, %", "others, %", "J left, %"], rows)


if __name__ == "__main__":
    main()
