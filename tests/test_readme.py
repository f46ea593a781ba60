from __future__ import annotations

import re
import tomllib
from pathlib import Path

import turpentine as tp
from turpentine.cli.app import build

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]


def test_the_readme_names_every_command_and_no_other() -> None:
    named = set(re.findall(r"`turpentine (\w+)", README))
    assert named == {name for name in build(()) if not name.startswith("-")}


def test_the_readme_counts_what_there_is() -> None:
    for group, words in {"erase": "methods by name", "attack": "[ways back]", "instruments": "instruments"}.items():
        assert f"{len(POINTS[f'turpentine.{group}'])} {words}" in README


def test_the_page_that_compares_counts_the_same() -> None:
    page = (Path(__file__).parents[1] / "docs" / "compare.md").read_text(encoding="utf-8")
    methods, attacks = POINTS["turpentine.erase"], POINTS["turpentine.attack"]
    assert f"{len(methods)} names of {len(set(methods.values()))} methods" in page
    assert f"| {len(attacks)}, with budgets" in page


def test_the_readme_is_one_page() -> None:
    assert len(README.splitlines()) <= 100


def test_the_readmes_python_names_what_exists() -> None:
    assert all(hasattr(tp, name) for name in re.findall(r"\btp\.(\w+)", README))


def test_links_lead_to_files_of_the_repository() -> None:
    folder = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (folder / link).exists()] == []
