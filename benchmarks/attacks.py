"""Attack edits of the small world, method by method and object by object, beside their controls; docs/attacks.md.

    python benchmarks/attacks.py run runs/attacks --concepts church fish --methods uce cad --attacks cce completion
    python benchmarks/attacks.py table runs/attacks --page docs/attacks.md

Each attack on each arm of each object is a row of its own, so that a run that was broken off goes on with the next one.
Arms are the methods, the unedited model ("original") and one that only hides the word ("only hidden").
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from pages import fill, table

import turpentine as tp
from turpentine.attack._pictures import NEW_SEEDS, pictures_of
from turpentine.attack._plain import references_of
from turpentine.attack.controls import HIDDEN, NO_ATTACK, ORIGINAL, swapped_word
from turpentine.attack.harness import Attack, Trial, concept_judge
from turpentine.attack.victim import Victim
from turpentine.bench import make_edit
from turpentine.core.atomic_files import write_whole
from turpentine.core.formatting import with_span
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name
from turpentine.emoji.world import TEN
from turpentine.models import Artefact
from turpentine.stats.intervals import Rate

METHODS = ("uce", "uce-aligned", "esd-x", "esd-u", "cad", "conceptprune", "negative-prompt")
CHEAP = (
    "seed-search",
    "random-prefix",
    "paraphrases",
    "misspellings",
    "completion",
    "partial-editing",
    "revival",
    "cce",
    "relearning",
)
CARRIED = ("ring-a-bell", "mma")
"""Attacks that look at the text encoder alone: found once, on the original, and carried over to all arms."""
TRIAL = Trial(steps=10, pictures=20, curve_pictures=1)


def run(out: Path, concepts: Sequence[str], methods: Sequence[str], attacks: Sequence[str]) -> None:
    """Attack every arm of every concept; rows that are there are left as they are."""
    model, judge = tp.load(), tp.judges.EmojiJudge()
    for text in concepts:
        concept = tp.Concept(text)
        shows, base = concept_judge(judge, concept), Victim(model)
        references = references_of(base, concept, shows, TRIAL, out / "parts")
        arms = {ORIGINAL: lambda base=base: base}
        arms[HIDDEN] = lambda concept=concept: Victim(model, (swapped_word(Victim(model), concept),))
        arms |= {name: lambda name=name, concept=concept: edited(model, name, concept, out) for name in methods}
        for arm, victim in arms.items():
            for name, path in missing(out, text, arm, attacks):
                start = time.monotonic()
                row = one(name, victim(), concept, base, references, shows, out)
                row = {"concept": text, "arm": arm, "attack": name, **row, "seconds": time.monotonic() - start}
                with write_whole(path) as draft:
                    draft.write_text(json.dumps(row))
                print(
                    f"{text}, {arm}, {name}: {sum(row['outcomes'])} of {len(row['outcomes'])}, {row['seconds']:.0f} s",
                    flush=True,
                )


def missing(out: Path, concept: str, arm: str, attacks: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield the attacks of which there is no row, with its file."""
    for name in (NO_ATTACK, *attacks):
        path = out / "rows" / f"{safe_name(f'{concept}-{arm}-{name}')}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            yield name, path


def edited(model: Any, method: str, concept: tp.Concept, out: Path) -> Victim:
    """Return the model with a method's edit, or its guidance, at its preset."""
    chosen = find(method, "erase").defaults("emoji")
    folder = out / "edits" / safe_name(f"{concept.text}-{method}")
    return Victim(model, (make_edit(model, chosen, concept, folder)[0],))


def one(
    name: str, victim: Victim, concept: tp.Concept, base: Victim, references: Sequence[Any], shows: Any, out: Path
) -> dict[str, Any]:
    """Run one attack on one arm."""
    if name == NO_ATTACK:
        pictures = pictures_of(victim, Artefact(concept.prompts), range(NEW_SEEDS, NEW_SEEDS + TRIAL.pictures), TRIAL)
        return {"outcomes": list(map(bool, shows(pictures)))}
    attack: Attack = find(name, "attack").load()()
    target = base if name in CARRIED else victim
    found = attack(target, concept, original=base, references=references, judge=shows, trial=TRIAL, cache=out / "parts")
    outcomes = found.outcomes
    if name in CARRIED and victim is not base:
        pictures = pictures_of(victim, found.artefact, found.artefact.seeds(TRIAL.pictures, NEW_SEEDS), TRIAL)
        outcomes = shows(pictures)
    return {
        "outcomes": list(map(bool, outcomes)),
        "tries": list(map(bool, found.tries)),
        **asdict(found.spent),
    }


def read(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((out / "rows").glob("*.json"))]


def board(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each attack, a column for each arm: the share of new pictures with the object, over objects."""
    names = [name for name in (NO_ATTACK, *CHEAP, *CARRIED) if any(row["attack"] == name for row in rows)]
    names += sorted({row["attack"] for row in rows} - set(names))
    arms = [arm for arm in (*METHODS, HIDDEN, ORIGINAL) if any(row["arm"] == arm for row in rows)]
    return table(["attack", *arms], [[name, *(cell(rows, name, arm) for arm in arms)] for name in names])


def cell(rows: Sequence[dict[str, Any]], attack: str, arm: str) -> str:
    chosen = [row for row in rows if row["attack"] == attack and row["arm"] == arm]
    outcomes = [each for row in chosen for each in row["outcomes"]]
    clusters = [(row["concept"],) for row in chosen for _ in row["outcomes"]]
    rate = Rate.of(outcomes, clusters)
    return with_span(rate) if rate else "–"


def seconds(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Mean seconds and rows of each attack."""
    return pl.DataFrame(rows).group_by("attack").agg(pl.len(), pl.col("seconds", "forward", "backward").mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("out", type=Path)
    runs.add_argument("--concepts", nargs="+", default=TEN)
    runs.add_argument("--methods", nargs="*", default=METHODS)
    runs.add_argument("--attacks", nargs="*", default=CHEAP)
    shown = commands.add_parser("table")
    shown.add_argument("out", type=Path)
    shown.add_argument("--page", type=Path)
    args = parser.parse_args()
    if args.command == "run":
        run(args.out, args.concepts, args.methods, args.attacks)
        return
    rows = read(args.out)
    if args.page:
        fill(args.page, {"attacks": board(rows)})
    else:
        print(board(rows), seconds(rows), sep="\n\n")


if __name__ == "__main__":
    main()
