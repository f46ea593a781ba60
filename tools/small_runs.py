"""Run each command that docs/claims.yaml cites at a tiny size, in a folder of its own, and say how long it took.

    python tools/small_runs.py                     # all of them; a quarter of an hour on one core
    python tools/small_runs.py noise emoji-ratio   # some, by the names of their benchmarks and benches

The suite parses every command, and runs those of `turpentine explain` and of a bench of attacks; what takes longer runs
here. Benches of models other than the embedded ones are left out: they take Stable Diffusion.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]

SMALL: Mapping[str, str] = {
    "agreement": "--objects church --modules UP6 UP7 UP8 UP9 --seeds 1 --docs PAGES --keep KEEP",
    "artists": "--artists lumen --methods sld-medium --seeds 1 --docs PAGES --keep KEEP",
    "cascade": "--captions 2 --seeds 1 --docs PAGES --keep KEEP",
    "closed_form": "--tiny --shapes sd14 --repeat 1 --threads 1 --out PAGES/closed_form.json",
    "concept_blocks": "--prompts 1 --steps 1 --docs PAGES",
    "concept_maps": "--prompts 1 --steps 1 --docs PAGES",
    "course": "--captions 2 --seeds 1 --docs PAGES",
    "erasures": "--sets x --seeds 1 --out KEEP --doc PAGES/erasures.md",
    "first_order": "--objects church --trials 4 --docs PAGES --keep KEEP",
    "full_size": "--tiny --device cpu --dtype fp32 --updates 3 --published 1 --eager 1",
    "gallery": "--object dog --methods sld-medium --docs PAGES",
    "noise": "--captions 3 --seeds 2 --docs PAGES --keep KEEP",
    "organism": "--seeds 1 --only severed --doc PAGES/organism.md",
    "overlap": "--captions 2 --seeds 1 --docs PAGES --keep KEEP",
    "places": "--objects church --modules LOWRES --updates 2 --seeds 1 --docs PAGES --keep KEEP",
    "quality": "--methods uce --objects church --captions 16 --docs PAGES --keep KEEP",
    "scored": "--objects church --updates 2 --pictures 1 --docs PAGES --keep KEEP",
    "segmentation": "--prompts 1 --seeds 1 --docs PAGES",
    "tints": "--captions 2 --seeds 1 --letters q1.2 --docs PAGES --keep KEEP",
}
"""Arguments of benchmarks, by their names; PAGES and KEEP are folders."""

TINY = {"steps": 1, "sampling_steps": 5, "trajectories": 1, "trials": 0, "rounds": 1, "pairs": 1, "draws": 2}
"""Settings of methods, by name, so that an edit takes a moment."""


def commands() -> list[str]:
    """What the registry cites, each once."""
    registry = yaml.safe_load((ROOT / "docs" / "claims.yaml").read_text(encoding="utf-8"))
    themes = [theme for source in registry["sources"] for theme in source["themes"]]
    claims = [claim for theme in themes for row in theme["rows"] for claim in row["claims"]]
    seen = [each for claim in claims for each in (claim, claim.get("larger", {}))]
    cited = [each["command"] for each in seen if "command" in each]
    return sorted({line for each in cited for line in ([each] if isinstance(each, str) else each)})


def small(line: str, pages: str = "PAGES", keep: str = "KEEP") -> list[str] | None:
    """A command at a tiny size; None for one that the suite runs, or that takes a model to be fetched."""
    words = shlex.split(line)
    if words[0] == "python":
        own = SMALL[Path(words[1]).stem].replace("PAGES", pages).replace("KEEP", keep)
        return [*words[:2], *shlex.split(own)]
    if words[1] != "bench" or not words[2].startswith("emoji-") or words[2].startswith("emoji-attacks"):
        return None
    changes = [value for flag, value in pairwise(words) if flag == "--set"]
    tokens = [token for change in tiny_bench(words[2], changes) for token in ("--set", change)]
    return ["turpentine", "bench", words[2], *tokens, "--seeds", "0", "--out", f"{keep}/{words[2]}"]


def tiny_bench(name: str, changes: list[str]) -> list[str]:
    """What to change in a bench beside its command's own: its first object, and its methods with the least settings."""
    from turpentine.bench.file import load

    own = [change for change in changes if not change.startswith("seeds=")]
    spec = load(name, own).spec
    methods = [tiny_method(entry) for entry in spec.methods]
    least = {"concepts": f"[{spec.concepts[0][0].text}]", "methods": json.dumps(methods), "drawing.steps": "1"}
    rest = [change for change in own if change.split("=")[0] not in least]
    return [*rest, *(f"{key}={value}" for key, value in least.items())]


def tiny_method(entry: Any) -> dict[str, Any]:
    """A method or a stack as a file writes it, with the least of each setting that takes time."""
    if len(entry.parts) > 1:
        return {"stack": [tiny_method(part.method) for part in entry.parts]}
    names = {field.name for field in fields(entry.method_for("emoji"))}
    return {entry.plugin.name: {**entry.settings, **{name: value for name, value in TINY.items() if name in names}}}


def name_of(words: list[str]) -> str:
    """A command's name: its benchmark's, or its bench's."""
    return Path(words[1]).stem if words[0] == "python" else words[2]


def runs(names: list[str], folder: Path) -> Iterator[tuple[str, int, float]]:
    """Run the small commands one after the other: the name of each, its exit status, and its seconds."""
    for number, line in enumerate(commands()):
        pages, keep = folder / str(number) / "pages", folder / str(number) / "keep"
        words = small(line, str(pages), str(keep))
        if words is None or (names and name_of(words) not in names):
            continue
        pages.mkdir(parents=True)
        keep.mkdir()
        program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "turpentine"]
        began = time.monotonic()
        done = subprocess.run([*program, *words[1:]], cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        yield shlex.join(words), done.returncode, time.monotonic() - began


def main() -> None:
    """Run them, and end with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of benchmarks and benches; all by default")
    args = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for line, status, seconds in runs(args.names, Path(folder)):
            print(f"{seconds:5.0f} s, status {status}: {line}", flush=True)
            failed += [line] if status else []
    raise SystemExit("\n".join(["These failed:", *failed]) if failed else 0)


if __name__ == "__main__":
    main()
