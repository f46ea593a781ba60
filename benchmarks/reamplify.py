"""Does amplifying bring an erased object back? ESD-x, and CAD's amplification on top of it, into docs/methods.md.

    python benchmarks/reamplify.py                 # four objects, some minutes on one core
    python benchmarks/reamplify.py --objects church --seeds 2 --updates 2 --docs /tmp/pages

The counterpart of the second line of CAD's Table 7, where nudity rises again. The amplified weights are those of the
edited model; intervals are over objects and prompts.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

import torch
from pages import fill, page_parser, parsed

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.edits import Edit
from turpentine.emoji.world import SCENES
from turpentine.erase.cad_amplify import CADAmplify
from turpentine.erase.esd import ESD
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.stats.intervals import Rate

OBJECTS = ("church", "dog", "truck", "fish")
SHARES = (0.001, 0.005)
STEPS = 10


def prompts_of(obj: str) -> list[str]:
    """What names an object, and what implies it."""
    return [obj, with_article(obj), *(scene for scene, other in SCENES.items() if other == obj)]


def shown(model: tp.Model, judge: EmojiJudge, edits: list[Edit], obj: str, seeds: int) -> list[tuple[bool, str]]:
    """Whether each picture shows the object under some edits, with its prompt."""
    prompts = [prompt for prompt in prompts_of(obj) for _ in range(seeds)]
    with ExitStack() as stack:
        for edit in edits:
            stack.enter_context(edit.on(model))
        images = model.generate(prompts, seeds=[*range(seeds)] * len(prompts_of(obj)), steps=STEPS, solver="dpm")
    return list(zip(hits(judge, "object", images, [obj] * len(images)), prompts, strict=True))


def main() -> None:
    parser = page_parser(__doc__)
    parser.add_argument("--objects", nargs="+", default=list(OBJECTS))
    parser.add_argument("--seeds", type=int, default=8, help="pictures of each prompt")
    parser.add_argument("--updates", type=int, default=50, help="of ESD: few, so that something is left to bring back")
    args = parsed(parser)
    model, judge = tp.load(dtype=torch.float32), EmojiJudge()
    seen: dict[str, list[tuple[bool, str]]] = {}
    for obj in args.objects:
        concept, edits = tp.Concept(obj), {"unedited": list[Edit]()}
        erased = ESD.preset(model, sites="x", steps=args.updates)(model, concept)
        edits["esd-x"] = [erased]
        with erased.on(model):
            for share in SHARES:
                amplified = CADAmplify.preset(model, share=share)(model, concept)
                edits[f"esd-x, then {share:g} of each row zeroed"] = [erased, amplified]
        for name, each in edits.items():
            seen.setdefault(name, []).extend(shown(model, judge, each, obj, args.seeds))
        print(f"{obj} drawn", file=sys.stderr, flush=True)
    rows = [
        [name, with_span(rate)]
        for name, each in seen.items()
        if (rate := Rate.of([hit for hit, _ in each], [(prompt,) for _, prompt in each]))
    ]
    fill(args.docs / "methods.md", {"reamplified": markdown_table(["model", "shows the object, %"], rows)})


if __name__ == "__main__":
    main()
