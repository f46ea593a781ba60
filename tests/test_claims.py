"""The registry of claims is whole, and says of each page what stands on it."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import runpy
import shlex
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from turpentine.bench.attack_file import attack_benches
from turpentine.bench.file import load as bench_of
from turpentine.bench.file import shipped
from turpentine.cli.app import build
from turpentine.explain.replication import plan_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims", ROOT / "tools" / "claims.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


claims = _tool()
REGISTRY = claims.Registry.read()
CLAIMS = [claim for _, _, claim in REGISTRY.claims()]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
SEEN = [(claim.id, seen) for claim in CLAIMS for seen in (claim, claim.larger) if seen]
"""What is said of each claim, of the larger model apart."""

COMMANDS = sorted({line for _, seen in SEEN for line in seen.command})

ROWS = [
    *(f"T{number}" for number in range(1, 54)),
    *(f"S{number}" for number in range(1, 5)),
    *(f"C{number}" for number in range(1, 14)),
    *(f"CAD table {number}" for number in range(1, 12)),
    *(f"D{number}" for number in range(1, 6)),
    *(f"1F-{number}" for number in range(1, 9)),
]
"""All that the sources were read to claim."""


def test_every_row_is_there_once() -> None:
    rows = Counter(row.row for source in REGISTRY.sources for theme in source.themes for row in theme.rows)
    assert rows == Counter(ROWS)


def test_ids_are_unique() -> None:
    assert [name for name, count in Counter(claim.id for claim in CLAIMS).items() if count > 1] == []


def test_the_pages_are_what_the_tool_makes() -> None:
    stale = [name for name, text in claims.pages_of(REGISTRY, DOCS).items() if PAGES.get(name) != text]
    assert not stale, f"run python tools/claims.py: {stale}"


def test_every_number_stands_on_its_page() -> None:
    assert [wrong for claim in CLAIMS for wrong in claims.wrong_numbers(claim, PAGES)] == []


def test_a_verdict_has_what_it_rests_on() -> None:
    bare = [
        claim.id
        for claim in CLAIMS
        if claim.verdict in ("holds", "holds in part", "does not hold")
        and not (claim.test or (claim.command and claim.page))
    ]
    assert bare == []
    assert [claim.id for claim in CLAIMS if claim.numbers and not claim.page] == []


def test_numbers_say_over_what_they_were_counted() -> None:
    assert [name for name, seen in SEEN if seen.page and seen.numbers and not seen.n] == []


def test_each_claim_shows_its_own_commands() -> None:
    shown = dict(re.findall(r'<a id="([\w-]+)"></a>(.*?)(?=\n- <a|\n\n|\Z)', PAGES["claims.md"], re.DOTALL))
    words = {name: " ".join(text.split()) for name, text in shown.items()}
    assert [name for name, seen in SEEN for line in seen.command if f"`{line}`" not in words[name]] == []


def test_every_page_with_numbers_of_claims_shows_them() -> None:
    quoted = {claim.page.split("#")[0] for claim in CLAIMS if claim.page}
    assert {name for name, text in PAGES.items() if claims.BLOCK in claims.parts_of(text)} == quoted


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, and those that it names itself."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {claims.anchor(heading) for heading in headings} | set(re.findall(r'<a id="([^"]+)">', page))


def test_links_between_pages_lead_somewhere() -> None:
    targets = {name: anchors(text) for name, text in PAGES.items()}
    broken = [
        f"{name}: {page}#{section}"
        for name, text in PAGES.items()
        for page, section in re.findall(r"\]\(([\w.-]+\.md|)#([\w-]+)\)", text)
        if section not in targets[page or name]
    ]
    assert broken == []
    assert [
        name for name, seen in SEEN if seen.page and seen.page.split("#")[1] not in targets[seen.page.split("#")[0]]
    ] == []


def test_pages_cite_claims_by_words() -> None:
    number = re.compile(r"(?<![\w-])(?!T5\b)(?:[TSCD]\d{1,2}|1F-\d)(?![\w-])")  # T5 is a text encoder too
    bare = [f"{name}: {found}" for name, text in PAGES.items() for found in number.findall(text)]
    scripts = [*ROOT.glob("benchmarks/*.py"), *(ROOT / "src").rglob("*.py")]
    bare += [
        f"{path.name}: {each}" for path in scripts for each in re.findall(r"\(T\d+", path.read_text(encoding="utf-8"))
    ]
    assert bare == []


def test_named_tests_are_there() -> None:
    missing = []
    for path, name in (claim.test.split("::") for claim in CLAIMS if claim.test):
        file = ROOT / path
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else ast.Module([], [])
        if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{path}::{name}")
    assert missing == []


class Parsed(Exception):
    """A command's arguments were taken."""


def _parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script in this process until it has parsed its arguments."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(*args: Any, **options: Any) -> None:
        parse(*args, **options)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.syspath_prepend(str((ROOT / words[0]).parent))
    monkeypatch.setattr(sys, "argv", words)
    runpy.run_path(str(ROOT / words[0]), run_name="__main__")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_ones_that_there_are(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = shlex.split(command)
    if program == "turpentine":
        build(words).parse_args(words, exit_on_error=False, print_error=False)
        if words[0] == "bench":
            assert words[1] in {**shipped(), **attack_benches()}
        else:
            assert words[0] == "explain"
            names = [part.name for part in plan_of(words[1]).stops]
            assert all(name in names for flag, name in pairwise(words) if flag == "--only")
        return
    assert program == "python"
    with pytest.raises(Parsed):
        _parse(words, monkeypatch)


def test_benchmarks_and_benches_have_a_tiny_run_that_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """`tools/small_runs.py` runs these; test_replication.py those of `explain`, test_bench.py an attack bench."""
    tool = runpy.run_path(str(ROOT / "tools" / "small_runs.py"))
    assert tool["commands"]() == COMMANDS
    left_out = set()
    for command in COMMANDS:
        match tool["small"](command):
            case None:
                left_out.add(shlex.split(command)[1])
            case ["python", *words]:
                with monkeypatch.context() as patch, pytest.raises(Parsed):
                    _parse(words, patch)
            case [_, _, name, *words]:
                changes = [value for flag, value in pairwise(words) if flag == "--set"]
                spec = bench_of(name, changes).spec
                assert len(spec.concepts) == 1 and spec.drawing.steps == 1
    assert left_out == {"explain", "bench"}


@pytest.mark.parametrize("words", ["benchmarks/agreement.py --modules", "benchmarks/erasures.py --seed-count 3"])
def test_a_command_that_cannot_be_is_noticed(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="2"):
        _parse(words.split(), monkeypatch)


def test_a_wrong_number_is_noticed() -> None:
    page = "# A\n\n200 pictures.\n\n<!-- t -->\n|  | kept, % |\n| --- | --- |\n| q1 | 95 (94–95) |\n<!-- /t -->\n"
    page += "<!-- two -->\n|  | left · others | why |\n| --- | --- | --- |\n"
    page += "| q3 | 8 (1–9) · 61 (60–62) |  |\n<!-- /two -->\n"
    page += "<!-- claims -->\n77 and 1.5\n<!-- /claims -->\n"

    def wrong(here: str, numbers: dict[str, str], n: str = "200 pictures") -> list[str]:
        claim = claims.Claim(
            id="a-claim", claim="c", verdict="holds", here=here, numbers=numbers, n=n, page="a.md#a", command="x"
        )
        return list(claims.wrong_numbers(claim, {"a.md": page}))

    assert wrong("it is 95 (94–95) %", {"t / q1 / kept": "95 (94–95)"}) == []
    assert wrong("it is 94 (94–95) %", {"t / q1 / kept": "94 (94–95)"})
    assert wrong("it is 95 (94–95) %", {"t / q2 / kept": "95 (94–95)"})
    assert wrong("it is high", {"t / q1 / kept": "95 (94–95)"})
    assert wrong("it is 95 (94–96) %", {})
    assert wrong("it is 77 %", {}), "what the tool wrote itself proves nothing"
    assert wrong("it is 5 %", {}), "part of a number is no number"
    assert wrong("it is high", {}, n="100 pictures")
    assert wrong("it is 61 (60–62) %", {"two / q3 / left · others / 2": "61 (60–62)"}) == []
    assert wrong("it is 61 (60–62) %", {"two / q3 / left · others / 1": "61 (60–62)"})
