"""How much of the house a command walks through: files whose functions run, switches between files, lines.

python benchmarks/house.py              # all figures of docs/architecture.md
python benchmarks/house.py --commands erase-uce generate
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "turpentine"

COMMANDS = {
    "erase-uce": ["erase", "church", "--method", "uce", "--seeds", "0", "--out", "{out}"],
    "erase-esd-x": ["erase", "church", "--method", "esd-x", "--steps", "2", "--seeds", "0", "--out", "{out}"],
    "generate": ["generate", "a church", "--out", "{out}"],
    "explain-trace": [
        "explain",
        "trace",
        "a church",
        "--concept",
        "church",
        "--where",
        "text",
        "--seeds",
        "0",
        "--out",
        "{out}",
    ],
}
"""One small run of each: what they walk through does not depend on how many pictures they draw."""


class Walk:
    """Counts files whose functions run, bodies of modules and classes aside, and how often a call enters another."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.switches = 0
        self._last = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # a module's or a class's body
            return
        name = frame.f_code.co_filename
        if name.startswith(str(SOURCE)):
            self.switches += bool(self._last) and name != self._last
            self._last = name
            self.files[str(Path(name).relative_to(SOURCE))] += 1


def walk(tokens: Sequence[str]) -> dict[str, Any]:
    """Run a command in this process under the profiler."""
    from turpentine.cli.app import run

    counted = Walk()
    sys.setprofile(counted)
    try:
        code = run(list(tokens))
    finally:
        sys.setprofile(None)
    rooms = Counter(name.split("/")[0] for name in counted.files)
    return {"code": code, "files": len(counted.files), "switches": counted.switches, "rooms": dict(rooms.most_common())}


def lines(folder: Path) -> int:
    """Lines of all Python files below a folder."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--one", choices=COMMANDS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        with tempfile.TemporaryDirectory() as out:
            found = walk([token.format(out=Path(out, "run")) for token in COMMANDS[chosen.one]])
        print("\n" + json.dumps(found))
        return
    print(f"source {lines(SOURCE):,} lines in {len(list(SOURCE.rglob('*.py')))} files, tests {lines(ROOT / 'tests'):,}")
    for name in chosen.commands:
        # A process each: what one has loaded, the next would not walk through again.
        done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
        print(f"{name}: {done.stdout.splitlines()[-1] if done.returncode == 0 else done.stderr}")


if __name__ == "__main__":
    main()
