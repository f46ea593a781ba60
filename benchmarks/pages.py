"""Tables in pages of docs/: made by a command, put between marks; what is written around them stays."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def page_parser(description: str | None, keep: str = "") -> argparse.ArgumentParser:
    """Return a parser of the options that commands with a page have; `parsed` reads them.

    Args:
        description: Of the command.
        keep: Name of the folder in runs/ for what is finished; "" where nothing is stored.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the page")
    if keep:
        parser.add_argument("--keep", type=Path, default=Path("runs", keep), help="the folder of what is finished")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options of the command line; the folder of the page is there then."""
    options = parser.parse_args()
    options.docs.mkdir(parents=True, exist_ok=True)
    return options


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Put each part between `<!-- name -->` and `<!-- /name -->` in a page; marks that it has not go to its end."""
    text = page.read_text() if page.exists() else ""
    for name, part in parts.items():
        if f"<!-- {name} -->" not in text:
            text += f"\n<!-- {name} -->\n<!-- /{name} -->\n"
        head, rest = text.split(f"<!-- {name} -->", 1)
        text = f"{head}<!-- {name} -->\n{part}\n<!-- /{name} -->{rest.split(f'<!-- /{name} -->', 1)[1]}"
    page.write_text(text)
