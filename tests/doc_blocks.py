"""The code of the documentation: the blocks of its pages, and the cells of its notebooks, with what a test is to do.

A comment straight before a block, which no reader sees, says what is special about it:

    <!-- not run: needs a hub -->            its arguments are checked against the command line, or its names resolved
    <!-- in the test: steps=20 -> steps=2 -->  it is run with that put in the place of this; several with ; between

Hub ids of which `stand_ins` has a model are replaced without being named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
NOTEBOOKS = tuple(sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")))

_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
_SWAPS = re.compile(r"<!-- in the test: (.+?) -->")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        page: The file's name.
        line: Where it begins, from 1; a cell's number in a notebook.
        language: As the page says it, or "" where it does not.
        text: What stands on the page.
        reason: Why it is not run; "" where it is.
        swaps: What is replaced in the test, and by what.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    swaps: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def code(self, stand_ins: dict[str, str]) -> str:
        """The text as the test runs it; a swap that changes nothing is a mistake of the page's."""
        text = self.text
        for old, new in self.swaps:
            assert old in text, f"{self.place}: there is no {old!r} to replace"
            text = text.replace(old, new)
        for old, new in stand_ins.items():
            text = text.replace(old, new)
        return text


def blocks_of(path: Path) -> list[Block]:
    """All blocks of a page or a notebook, in their order."""
    text = path.read_text(encoding="utf-8")
    return list(_cells(path.name, text) if path.suffix == ".ipynb" else _fences(path.name, text))


def _fences(page: str, text: str) -> Iterator[Block]:
    comment, end = "", -1
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block":
            comment, end = token.content, token.map[1] if token.map else -1
        elif token.type in ("fence", "code_block"):
            start = token.map[0] if token.map else 0
            language = "".join(token.info.split()[:1])
            yield _block(page, start + 1, language, token.content, comment if end == start else "")


def _cells(page: str, text: str) -> Iterator[Block]:
    for number, cell in enumerate(json.loads(text)["cells"], 1):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield Block(page, number, "python", source)
        else:
            yield from _fences(page, source)


def _block(page: str, line: int, language: str, text: str, comment: str) -> Block:
    reason, swaps = _NOT_RUN.search(comment), _SWAPS.search(comment)
    pairs = [tuple(each.split(" -> ")) for each in swaps[1].split("; ")] if swaps else []
    assert all(len(pair) == 2 for pair in pairs), f"{page}:{line}: write OLD -> NEW"
    return Block(page, line, language, text, reason[1] if reason else "", tuple(pairs))  # type: ignore[arg-type]
