"""Ship an oracle: its denoiser as rows of int8, and its card, measured beside the model that saw everything.

python tools/oracle_card.py runs/emoji-without-church-0 church
python tools/oracle_card.py runs/emoji-unnamed-church-0 church --unnamed
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from card_cases import percent
from PIL import Image
from world_card import TITLES, put_tables, rate_of, stage_lines
from world_counts import Draw, drawer, logs, rates, steps_of
from world_session import Session

import turpentine as tp
from turpentine.core.imaging import paste_rows
from turpentine.emoji import WEIGHTS
from turpentine.emoji.captions import object_caption
from turpentine.emoji.oracle_model import pack
from turpentine.emoji.oracles import SHIPPED, oracle_name
from turpentine.emoji.world import SCENES

Hits = dict[str, dict[str, list[int]]]
"""By kind, then by label: hits, and of how many."""


def is_of(label: str, concept: str) -> bool:
    """Whether a label's pictures should show the concept: its own, a pair with it, or one of its scenes."""
    return concept in label.split(", ") or SCENES.get(label) == concept


def parts_of(hits: Hits, concept: str) -> tuple[Hits, dict[str, list[int]]]:
    """Hits of all that is not of the concept, by kind, and those of the concept, all kinds together."""
    rest = {
        kind: {label: count for label, count in labels.items() if not is_of(label, concept)}
        for kind, labels in hits.items()
    }
    own = {label: count for labels in hits.values() for label, count in labels.items() if is_of(label, concept)}
    return rest, own


def table(facts: dict[str, Any], concept: str) -> str:
    """The card's tables, from what was counted of the oracle as trained, as it ships, and of the whole model."""
    columns = [parts_of(facts[model], concept) for model in ("trained", "shipped", "whole")]
    lines = [
        "| what | as trained | as it ships | the model that saw everything | pictures |",
        "|---|---|---|---|---|",
    ]
    for kind, title in {**TITLES, "": f"what names {concept}, or implies it"}.items():
        labels = [own if not kind else rest[kind] for rest, own in columns]
        cells = " | ".join(percent(rate_of(each)) for each in labels)
        lines.append(f"| {title}{f', without {concept}' if kind else ''} | {cells} | {rate_of(labels[0]).n} |")
    return "\n".join([*lines, "", *stage_lines(facts), ""])


def samples(path: Path, oracle: Draw, whole: Draw, concept: str) -> None:
    """Draw eight prompts with one seed, by the oracle above and by the whole model below."""
    scene = next((name for name, main in SCENES.items() if main == concept), "a dog and a cat")
    prompts = [object_caption(concept), object_caption(concept, colour="blue"), f"a dog and {object_caption(concept)}"]
    prompts += [scene, "a dog", "a car on a blue background", "an owl in ink style", "a dog and a cat"]
    rows = [draw(prompts, [0] * len(prompts)) for draw in (oracle, whole)]
    side, gap = 64, 4
    page = Image.new("RGB", (len(prompts) * (side + gap) + gap, 2 * (side + gap) + gap), "white")
    paste_rows(page, rows, (gap, gap), (side, side), gap)
    page.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trained", type=Path, help="folder of a training that is done")
    parser.add_argument("concept")
    parser.add_argument("--unnamed", action="store_true", help="its pictures were seen, and never its word")
    parser.add_argument("--seeds", type=int, default=10, help="pictures of each prompt")
    parser.add_argument("--tiny", action="store_true", help="two steps a picture, to try the script")
    options = parser.parse_args()
    name = oracle_name(options.concept, unnamed=options.unnamed)
    folder = SHIPPED / name
    pack(tp.load(options.trained / "weights", dtype=torch.float32).denoiser, folder)
    session = Session(folder, options.trained, "cpu", math.inf, options.tiny, options.seeds, 0)
    draws = {
        "trained": drawer(session, options.trained / "weights"),
        "shipped": drawer(session, name),
        "whole": drawer(session, WEIGHTS),
    }
    facts: dict[str, Any] = {model: rates(session, draw)["hits"] for model, draw in draws.items()}
    facts |= {"steps": steps_of(session), "seeds": options.seeds, **logs(options.trained)}
    (folder / "card.json").write_text(json.dumps(facts) + "\n")
    samples(folder / "samples.png", draws["shipped"], draws["whole"], options.concept)
    if not (folder / "README.md").exists():
        (folder / "README.md").write_text(f"# {name}\n\n<!-- card -->\n<!-- end of card -->\n")
    put_tables(folder, table(facts, options.concept))


if __name__ == "__main__":
    main()
