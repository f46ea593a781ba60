"""The table of docs/leaderboard.md and its data, from the folder of a leaderboard that is over.

turpentine bench emoji-leaderboard
python benchmarks/leaderboard.py runs/emoji-leaderboard
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from pages import DOCS, fill

from turpentine.report.leaderboard_files import CSV, board_markdown, read_leaderboard_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--docs", type=Path, default=DOCS)
    given = parser.parse_args()
    if (given.folder / CSV).resolve() != (given.docs / CSV).resolve():
        shutil.copyfile(given.folder / CSV, given.docs / CSV)
    rows = read_leaderboard_rows(given.docs / CSV)
    fill(given.docs / "leaderboard.md", {"board": board_markdown(rows)})


if __name__ == "__main__":
    main()
