"""Write a world's card from what `train_worlds.py` counted: a table of what the model draws, and how it was trained.

python tools/world_card.py runs/worlds/cards.json emoji-mmdit src/turpentine/emoji/mmdit
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from card_cases import percent

from turpentine.stats.intervals import Rate

TITLES = {
    "object": "object, all forty",
    "style": "style",
    "colour": "background colour",
    "scene": "scenes show their object",
    "two": "two objects, both seen",
    "unseen pair": "pairs never trained together: both right",
}


def rate_of(labels: dict[str, list[int]]) -> Rate:
    """The rate of all labels' hits; its interval is over labels, whose pictures hang together."""
    outcomes = [hit for right, of in labels.values() for hit in [True] * right + [False] * (of - right)]
    clusters = [(label,) for label, (_, of) in labels.items() for _ in range(of)]
    rate = Rate.of(outcomes, clusters)
    assert rate is not None
    return rate


def row(title: str, labels: dict[str, list[int]]) -> str:
    """A line of the table."""
    rate = rate_of(labels)
    name, (right, of) = min(labels.items(), key=lambda item: item[1][0] / item[1][1])
    return f"| {title} | {percent(rate)} | {rate.n} | {name}: {right} of {of} |"


def card(facts: dict[str, Any]) -> str:
    table = [row(title, facts["hits"][kind]) for kind, title in TITLES.items()]
    header = ["| what | hits (95 % interval over labels) | pictures | worst |", "|---|---|---|---|"]
    return "\n".join([*header, *table, "", *stage_lines(facts), ""])


def stage_lines(facts: dict[str, Any]) -> list[str]:
    """The table of the stages."""
    stages = [
        f"| {name} | {stage['updates']:,} | {stage['seconds'] / 60:.1f} | {stage['last']:.3f} |"
        for name, stage in facts["stages"].items()
    ]
    return ["| stage | updates | minutes | loss at its end |", "|---|---|---|---|", *stages]


def put_tables(folder: Path, tables: str, mark: str = "card") -> None:
    """Write the tables between the marks of a card, the README of a folder; made with them if it is not there."""
    readme, begin, end = folder / "README.md", f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    text = readme.read_text() if readme.exists() else begin + end
    before, _, rest = text.partition(begin)
    readme.write_text(before + begin + tables + end + rest.partition(end)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cards", type=Path)
    parser.add_argument("name", help="of the model in it")
    parser.add_argument("out", type=Path, help="folder in which README.md has its tables, and card.json is written")
    options = parser.parse_args()
    facts = json.loads(options.cards.read_text())[options.name]
    (options.out / "card.json").write_text(json.dumps({key: facts[key] for key in ("hits", "stages")}) + "\n")
    put_tables(options.out, card(facts))


if __name__ == "__main__":
    main()
