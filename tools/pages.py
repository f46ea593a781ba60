"""Put what `turpentine explain thesis`, `tracing` and `words` found into docs/: tables between marks, and figures.

    turpentine explain thesis
    python tools/pages.py explained/thesis

A table goes to the page that has its marks, a figure to those that show it; what is written around them stays. A table
whose marks are on no page, or on two, is named, and nothing is written. Of another model the marks have a suffix:

    turpentine explain thesis --model emoji-64 --seeds 0 --steps 10
    python tools/pages.py explained/thesis --suffix -64
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARKED = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<part>.*?)<!-- /(?P=name) -->", re.DOTALL)


def tables_in(folders: Iterable[Path], suffix: str = "") -> dict[str, str]:
    """Return the tables of finished experiments, by mark."""
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in sorted(folder.glob("*/tables.md"))]
    return {match["name"] + suffix: match["part"] for text in texts for match in MARKED.finditer(text)}


def filled(page: str, tables: dict[str, str]) -> str:
    """Return a page with tables between their marks; others stay as they are.

    Example:
        >>> filled("<!-- a -->\\nold\\n<!-- /a -->", {"a": "new\\n"})
        '<!-- a -->\\nnew\\n<!-- /a -->'
    """

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{tables[name]}<!-- /{name} -->" if name in tables else match[0]

    return MARKED.sub(part, page)


def put(folders: list[Path], docs: Path, suffix: str = "") -> list[str]:
    """Write tables and figures into the pages, and return the names of the pages that changed.

    Tables alone of another model, whose marks have a suffix.
    """
    tables = tables_in(folders, suffix)
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(docs.glob("*.md"))}
    marks = Counter(match["name"] for text in pages.values() for match in MARKED.finditer(text))
    if not tables:
        raise SystemExit("There is no tables.md there.")
    for name in sorted(tables):
        if marks[name] != 1:
            raise SystemExit(f"{'No page has' if not marks[name] else 'More than one page has'} marks for {name}.")
    changed = []
    for path, text in pages.items():
        new = filled(text, tables)
        if new != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path.name)
    for figure in (figure for folder in folders for figure in folder.glob("*/*.png") if not suffix):
        if any(f"]({figure.name})" in text for text in pages.values()):
            shutil.copy(figure, docs / figure.name)
    return changed


def main() -> None:
    """Put what was found into the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="that the command wrote, such as explained/thesis")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the pages")
    parser.add_argument("--suffix", default="", help="behind the marks' names, such as -64")
    args = parser.parse_args()
    print(", ".join(put(args.folders, args.docs, args.suffix)) or "nothing changed")


if __name__ == "__main__":
    main()
