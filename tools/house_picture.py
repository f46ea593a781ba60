"""Draw the rooms of the package by floors, with what imports what, from the code as it is: docs/architecture.png.

python tools/house_picture.py
python tools/house_picture.py --out /tmp/house.png
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "turpentine"

FLOORS = (
    ("core", "concepts"),
    ("stats", "emoji"),
    ("models",),
    ("edits", "attribution", "judges", "tasks"),
    ("erase", "explain", "attack", "runs"),
    ("bench",),
    ("audit",),
    ("report",),
    ("study", "studio"),
    ("cli", "testing"),
)
"""From the ground up; tests/test_structure.py holds them."""

GROUND = FLOORS[0]
"""Every room stands on these: arrows to them would say nothing."""

PURPOSE = {
    "core": "files, keys, cache, plug-ins",
    "concepts": "what is meant",
    "stats": "intervals",
    "emoji": "the embedded world",
    "models": "families, sites, hooks, sampler",
    "edits": "on, off, files",
    "attribution": "gradients, scores",
    "judges": "pictures to numbers",
    "tasks": "what is asked",
    "erase": "a file a method",
    "explain": "a file an instrument",
    "attack": "a file an attack",
    "runs": "plan, store, workers",
    "bench": "table, metrics",
    "audit": "arms, verdict",
    "report": "pages, plots",
    "study": "ratings by people",
    "studio": "the interactive page",
    "cli": "the command",
    "testing": "contracts, toys",
}

WIDTH, HEIGHT, GAP = 2.5, 0.86, 0.42
INK, ARROW = "#1f2d3d", "#7f9bb8"
BOX: dict[str, Any] = {"facecolor": "#eef3f8", "edgecolor": INK}
CENTRED: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3}


@dataclass(frozen=True)
class Room:
    """A folder of the package, its files and lines, and where its box stands."""

    name: str
    files: int
    lines: int
    x: float
    y: float


def files_of(room: str) -> list[Path]:
    """The Python files of a room, which is a folder or a single file."""
    folder = SOURCE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{room}.py"]


def imports_of(room: str) -> Counter[str]:
    """How many import lines of a room lead to each other room."""
    targets: Counter[str] = Counter()
    for path in files_of(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("turpentine."):
                target = (node.module or "").split(".")[1]
                targets[target] += target != room
    return +targets


def place() -> dict[str, Room]:
    """Each room in its floor, centred."""
    rooms = {}
    for level, names in enumerate(FLOORS):
        left = -(len(names) * WIDTH + (len(names) - 1) * GAP) / 2
        for index, name in enumerate(names):
            paths = files_of(name)
            lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
            rooms[name] = Room(name, len(paths), lines, left + index * (WIDTH + GAP), level * (HEIGHT + 0.62))
    return rooms


def draw_room(axes: Axes, room: Room) -> None:
    """A box with the room's name, purpose and size."""
    box = FancyBboxPatch(
        (room.x, room.y),
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.08",
        **BOX,
        zorder=2,
    )
    axes.add_patch(box)
    centre = room.x + WIDTH / 2
    axes.text(centre, room.y + 0.62, room.name, weight="bold", color=INK, fontsize=11, **CENTRED)
    axes.text(centre, room.y + 0.38, PURPOSE[room.name], color=INK, fontsize=7.5, **CENTRED)
    size = f"{room.files} files · {room.lines:,} lines"
    axes.text(centre, room.y + 0.16, size, color="#5b6b7b", fontsize=7, **CENTRED)


def draw(out: Path) -> None:
    """Draw all rooms, and an arrow for each pair of rooms of which one imports the other."""
    rooms = place()
    figure, axes = plt.subplots(figsize=(11.5, 9.4), layout="constrained")
    for room in rooms.values():
        draw_room(axes, room)
        for target, count in imports_of(room.name).items():
            if target in rooms and target not in GROUND:
                below = rooms[target]
                axes.annotate(
                    "",
                    xy=(below.x + WIDTH / 2, below.y + HEIGHT),
                    xytext=(room.x + WIDTH / 2, room.y),
                    arrowprops={
                        "arrowstyle": "-|>",
                        "color": ARROW,
                        "linewidth": 0.5 + min(count, 60) / 30,
                        "alpha": 0.55,
                    },
                    zorder=1,
                )
    axes.set_xlim(min(r.x for r in rooms.values()) - 0.2, max(r.x for r in rooms.values()) + WIDTH + 0.2)
    axes.set_ylim(-0.15, max(r.y for r in rooms.values()) + HEIGHT + 0.15)
    axes.axis("off")
    figure.savefig(out, dpi=130)
    plt.close(figure)


def main() -> None:
    """Draw to the file that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "architecture.png")
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()
