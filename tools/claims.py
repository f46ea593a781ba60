"""Make docs/claims.md, and the table of claims on each page that has one, from docs/claims.yaml.

    python tools/claims.py
    python tools/claims.py --docs /tmp/pages

The registry is written by hand: what a source claims, in our words, and what we see of it. The numbers that it quotes
are those of the pages: where a page has another, nothing is written, and each is named (tests/test_claims.py holds it
too). So whoever makes a page anew is led to each verdict that rests on it.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARKED = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<part>.*?)<!-- /(?P=name) -->", re.DOTALL)
BLOCK = "claims"
"""The mark of the table that this writes into a page."""

NUMBER = re.compile(r"(?<![\w.,–-])[+−-]?\d+(?:[.,]\d+)*(?: \([+−-]?\d[^)]*\))?")
"""As pages write it: a number, and its interval where it has one."""


class Verdict(StrEnum):
    """What we can say of a claim."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    FAILS = "does not hold"
    HIDDEN = "cannot be seen here"
    OPEN = "not asked"


MEANING = {
    Verdict.HOLDS: ("✓", "asked as the source asks it, or as near as this world comes; a definition is held by a test"),
    Verdict.IN_PART: ("◐", "some of it holds, or less was asked than is claimed"),
    Verdict.FAILS: ("✗", "asked, and the numbers say otherwise"),
    Verdict.HIDDEN: ("–", "the embedded world has nothing that could show it, or too little was drawn to tell"),
    Verdict.OPEN: ("?", "no number of ours says anything of it yet"),
}
"""A sign for each, and what it means."""

ABOUT = """\
<!-- Made by `python tools/claims.py` from claims.yaml: change that. -->

Four texts began this package: a thesis and a talk on erasing from Stable Diffusion and looking into it, and two papers
on where its knowledge is. What each claims stands here in our words, with its place, and beneath it what we see on the
embedded model, by our own pages only. No number of any source has been reproduced on Stable Diffusion itself.

{counts}

{meanings}

Intervals are of 95 %, over prompts, objects or captions; where they are over pictures, which makes them too narrow, or
the mean of several objects' intervals, the page says so. Behind *n* stands what a verdict's numbers were counted over.
One rule holds where little was drawn: if a number that would decide lies within the interval of the one that it is held
against, and both what is claimed and the opposite fit, the verdict is that it cannot be seen here."""


def _lines(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


class Part(BaseModel):
    """Part of the registry: written whole, with no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Seen(Part):
    """What a model of ours shows of a claim.

    Attributes:
        verdict: Ours.
        here: What it rests on, or why there is none; the numbers as the page has them.
        numbers: Of `here`, by their cells: "table / row / column", with " · " between cells that name a row; " / 2"
            behind it is the second of several numbers in a cell.
        n: Pictures and prompts, or what else the numbers are counted over.
        page: In docs/, with the section's anchor.
        command: Make the numbers; a file may have one as a text.
    """

    verdict: Verdict
    here: str
    numbers: Mapping[str, str] = {}
    n: str | None = None
    page: str | None = Field(None, pattern=r"^[a-z]+\.md#[a-z0-9-]+$")
    command: Annotated[tuple[str, ...], BeforeValidator(_lines)] = ()


class Larger(Seen):
    """What the larger model shows, `emoji-64`; always with its page."""

    page: str = Field(pattern=r"^[a-z]+\.md#[a-z0-9-]+$")


class Claim(Seen):
    """A claim, and what the embedded model shows of it.

    Attributes:
        id: In words; pages link to it.
        claim: What the source says, in our words.
        test: Holds our code to a definition: "tests/…/test_x.py::test_y".
        note: What is to be done, or to be heeded.
        larger: The same, asked of the larger model.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$")
    claim: str
    test: str | None = Field(None, pattern=r"^tests/.+\.py::test_\w+$")
    note: str = ""
    larger: Larger | None = None


class Row(Part):
    """A row of the list of what the sources claim: its number there, its place in the source, and its claims."""

    row: str
    place: str
    claims: list[Claim] = Field(min_length=1)


class Theme(Part):
    """Rows of a source that are about one thing."""

    title: str
    rows: list[Row]


class Source(Part):
    """Where claims come from: as pages call it, and in full."""

    name: str
    cite: str
    themes: list[Theme]

    def claims(self) -> Iterator[tuple[Row, Claim]]:
        """Yield each claim with its row, in order."""
        for theme in self.themes:
            for row in theme.rows:
                for claim in row.claims:
                    yield row, claim


class Registry(Part):
    """All sources."""

    sources: list[Source]

    @classmethod
    def read(cls, path: Path = DOCS / "claims.yaml") -> Registry:
        """Read and check a registry's file."""
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))

    def claims(self) -> Iterator[tuple[Source, Row, Claim]]:
        """Yield each claim with its source and row, in order."""
        for source in self.sources:
            for row, claim in source.claims():
                yield source, row, claim


def parts_of(page: str) -> dict[str, str]:
    """Return what stands between the marks of a page, by name."""
    return {found["name"]: found["part"] for found in MARKED.finditer(page)}


def without_block(page: str) -> str:
    """Return a page without the table that this makes: what its numbers are held against."""
    return MARKED.sub(lambda found: "" if found["name"] == BLOCK else found[0], page)


def cell(page: str, address: str) -> str | None:
    """Return a cell of a page by "table / row / column", None where there is no such cell or more than one.

    A column goes by its heading, which may end in ", %"; a row by its first cells, with " · " between them. A number
    after a fourth " / " takes one of the parts that a cell has between " · ".
    """
    mark, row, column, *part = address.split(" / ")
    lines = [line.strip("| ").split(" | ") for line in parts_of(page).get(mark, "").splitlines() if line[:1] == "|"]
    if not lines:
        return None
    width = max(map(len, lines))  # a last cell that is empty is lost in splitting, too
    heads = [head.strip() for head in lines[0]]
    heads = [""] * (width - len(heads)) + heads  # a first heading that is empty is lost in splitting
    columns = [index for index, head in enumerate(heads) if head.removesuffix(", %") == column]
    names = row.split(" · ")
    found = [cells[index] for index in columns for cells in lines[2:] if cells[: len(names)] == names]
    if len(found) != 1:
        return None
    return found[0].strip().split(" · ")[int(part[0]) - 1] if part else found[0].strip()


def stands(number: str, text: str) -> bool:
    """Whether a number stands in a text, as it is and whole."""
    return re.search(rf"(?<![\w.,]){re.escape(number)}(?![\w]|[.,]\d)", text) is not None


def wrong_numbers(claim: Claim, pages: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each number of a claim that its page has not, or has otherwise."""
    for seen in (claim, claim.larger):
        if seen is not None and seen.page is not None:
            yield from _wrong(claim.id, seen, seen.page, pages)


def _wrong(name: str, seen: Seen, place: str, pages: Mapping[str, str]) -> Iterator[str]:
    page = without_block(pages[place.split("#")[0]])
    for address, value in seen.numbers.items():
        there = cell(page, address)
        if there != value:
            yield f"{name}: {address} is {there} on {place}, not {value}."
        if value not in seen.here:
            yield f"{name}: {value} ({address}) is not quoted."
    quoted = [each[0] for text in (seen.here, seen.n or "") for each in NUMBER.finditer(text)]
    for number in quoted:
        if not stands(number, page) and number not in seen.numbers.values():
            yield f"{name}: {number} does not stand on {place}."


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


def counts(registry: Registry) -> str:
    """Return how many claims have each verdict, by source and in all."""
    rows, total = [], Counter(claim.verdict for _, _, claim in registry.claims())
    for source in registry.sources:
        number = Counter(claim.verdict for _, claim in source.claims())
        link = f"[{capital(source.name)}](#{anchor(source.name)})"
        rows.append([link, *(str(number[verdict]) for verdict in Verdict), str(number.total())])
    rows.append(["**All**", *(f"**{total[verdict]}**" for verdict in Verdict), f"**{total.total()}**"])
    return table(["", *(f"{MEANING[verdict][0]} {verdict}" for verdict in Verdict), "claims"], rows)


def anchor(title: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def capital(text: str) -> str:
    """Return a text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def entry(row: Row, claim: Claim) -> str:
    """Return a claim in the registry's page: what is claimed and where, our verdict, its reason, links and commands."""
    parts = [f"{MEANING[claim.verdict][0]} *{capital(claim.verdict)}*: {claim.here}."]
    if claim.n:
        parts.append(f"*n*: {claim.n}.")
    if claim.page:
        parts.append(f"[{claim.page.split('.md')[0]}]({claim.page})")
    if claim.test:
        parts.append(f"[test](../{claim.test.split('::')[0]})")
    if claim.note:
        parts.append(f"*{capital(claim.note)}.*")
    head = f'- <a id="{claim.id}"></a>**{capital(claim.claim)}.** {capital(row.place)}.'
    how = "Made by" if claim.page or claim.verdict is not Verdict.OPEN else "To be asked by"
    lines = [head, " ".join(parts), *_made(how, claim.command)]
    if claim.larger:
        lines += [larger_entry(claim.larger), *_made("Made by", claim.larger.command)]
    return "\\\n  ".join(map(wrapped, lines))


def larger_entry(seen: Larger) -> str:
    """Return what the larger model says of a claim."""
    n = f" *n*: {seen.n}." if seen.n else ""
    page = seen.page.split(".md")[0]
    return f"By `emoji-64`: {MEANING[seen.verdict][0]} *{seen.verdict}*: {seen.here}.{n} [{page}]({seen.page})"


def _made(how: str, commands: Iterable[str]) -> list[str]:
    quoted = [f"`{each}`" for each in commands]
    return [f"{how} {' and '.join(quoted)}."] if quoted else []


def wrapped(text: str) -> str:
    """Return a text in lines as the other pages have them, those after the first indented."""
    text = re.sub(r" (?=%)|(?<=\bp\.) ", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(text, 122, break_long_words=False, break_on_hyphens=False)
    return "\n  ".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def theme_part(theme: Theme) -> str:
    """Return a theme's heading and its claims."""
    entries = [entry(row, claim) for row in theme.rows for claim in row.claims]
    return f"### {theme.title}\n\n" + "\n".join(entries)


def registry_page(registry: Registry) -> str:
    """Return docs/claims.md."""
    meanings = "\n".join(f"- {sign} *{capital(verdict)}*: {meaning}." for verdict, (sign, meaning) in MEANING.items())
    parts = ["# What the sources claim", ABOUT.format(counts=counts(registry), meanings=meanings)]
    for source in registry.sources:
        parts += [f"## {capital(source.name)}", "\n".join(textwrap.wrap(source.cite, 124))]
        parts += [theme_part(theme) for theme in source.themes]
    return "\n\n".join(parts) + "\n"


def page_block(registry: Registry, page: str) -> str:
    """Return the table of the claims whose numbers stand on a page, and the larger model's verdict if it was asked."""
    every = [each for each in registry.claims() if (each[2].page or "").startswith(f"{page}#")]
    has_larger = any(claim.larger for _, _, claim in every)
    rows = [
        [
            f"[{capital(claim.claim)}](claims.md#{claim.id}) ({source.name}, {row.place})",
            f"*{claim.verdict}*: {claim.here}",
            *([_in_larger(claim.larger)] if has_larger else []),
        ]
        for source, row, claim in every
    ]
    return table(["the sources say", "here", *(["by `emoji-64`"] if has_larger else [])], rows)


def _in_larger(seen: Larger | None) -> str:
    return f"[*{seen.verdict}*]({seen.page}): {seen.here}" if seen else "not asked"


def pages_of(registry: Registry, docs: Path) -> dict[str, str]:
    """Return each page that claims change, as it should be, by its name."""
    made = {"claims.md": registry_page(registry)}
    for path in sorted(docs.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if BLOCK in parts_of(text) and path.name not in made:
            block = f"<!-- {BLOCK} -->\n{page_block(registry, path.name)}\n<!-- /{BLOCK} -->"
            made[path.name] = MARKED.sub(lambda found, new=block: new if found["name"] == BLOCK else found[0], text)
    return made


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the pages and of claims.yaml")
    args = parser.parse_args()
    registry = Registry.read(args.docs / "claims.yaml")
    pages = {path.name: path.read_text(encoding="utf-8") for path in args.docs.glob("*.md")}
    wrong = [sentence for _, _, claim in registry.claims() for sentence in wrong_numbers(claim, pages)]
    if wrong:
        raise SystemExit("\n".join(wrong))
    for name, text in pages_of(registry, args.docs).items():
        (args.docs / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
