"""Benchmarks and tools can be imported: a name that moved in the package is noticed there too."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "tools")
SCRIPTS = {folder: sorted(ROOT.glob(f"{folder}/*.py")) for folder in FOLDERS}
OPTIONAL = ("resvg_py",)
"""What only the maker of the sprites needs."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_script_can_be_imported(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside each other, as where one of them is run; none is left among the modules."""
    assert len(SCRIPTS[folder]) > 5
    monkeypatch.syspath_prepend(str(ROOT / folder))
    for path in SCRIPTS[folder]:
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    before = set(sys.modules)
    try:
        for path in SCRIPTS[folder]:
            error = _missing(path.stem)
            assert error is None or error.name in OPTIONAL, f"{path.name} imports {error.name}"
    finally:
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) in map(str, SCRIPTS[folder]):
                del sys.modules[name]


def _missing(name: str) -> ModuleNotFoundError | None:
    """Import a module, and return what it misses, if it misses something."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        return error
    return None


def test_the_picture_of_the_house_has_every_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    picture = importlib.import_module("house_picture")
    drawn_rooms = [name for floor in picture.FLOORS for name in floor]
    folders = {path.parent.name for path in (ROOT / "src" / "turpentine").glob("*/__init__.py")}
    assert sorted(drawn_rooms) == sorted({*folders, "concepts"}) and set(picture.PURPOSE) == set(drawn_rooms)


@pytest.mark.parametrize(("pages", "sentence"), [(0, "No page has marks for t."), (2, "More than one page has marks")])
def test_a_table_goes_to_the_one_page_that_has_its_marks(pages: int, sentence: str, tmp_path: Path) -> None:
    put = runpy.run_path(str(ROOT / "tools" / "pages.py"))["put"]
    docs, run = tmp_path / "docs", tmp_path / "run" / "t"
    docs.mkdir()
    run.mkdir(parents=True)
    (run / "tables.md").write_text("<!-- t -->\nnew\n<!-- /t -->\n", encoding="utf-8")
    for number in range(pages):
        (docs / f"{number}.md").write_text("<!-- t -->\nold\n<!-- /t -->\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=sentence):
        put([tmp_path / "run"], docs)
    assert not any("new" in path.read_text(encoding="utf-8") for path in docs.iterdir())


def test_scripts_are_short() -> None:
    long = [path.name for paths in SCRIPTS.values() for path in paths if len(path.read_text().splitlines()) > 400]
    assert not long


def test_worlds_are_trained_as_the_docs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the options of the docs, in the order of their worth; a name that is no training's is refused."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    tool = importlib.import_module("train_worlds")
    commands = re.findall(r"python tools/train_worlds\.py (--all.*)", (ROOT / "docs" / "training.md").read_text())
    options = [tool.parser().parse_args(command.split()) for command in [*commands, f"--all --tiny --out {tmp_path}"]]
    assert options[0].minutes == 8.1 and not tool.session_of(options[0]).tiny and tool.session_of(options[1]).seeds == 1
    names = list(tool.jobs_of(tool.session_of(options[1]), 150))
    assert names[:4] == ["emoji-64", "emoji-mmdit", "without-church-0", "unnamed-church-0"] and names[-1] == "whole-0"
    assert len(names) == 15
    assert tool.fault_of(["emoji-64", "emoji-mmdit"], names) is None
    assert "takes its second text tower" in tool.fault_of(["emoji-mmdit"], names)
    assert tool.fault_of(["emoji"], names).startswith("there is no training emoji: there are emoji-64, ")


def test_a_world_s_card_counts_what_the_model_s_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    counts, shared, card = map(importlib.import_module, ("world_counts", "card_cases", "world_card"))
    cases = counts.world_cases()
    assert {case.group for case in cases} == set(card.TITLES)
    assert [case.prompt for case in cases] == [case.prompt for case in shared.cases() if case.group != "work"]
    unseen = next(case for case in cases if case.group == "unseen pair")
    obj, style = unseen.label.split(", ")
    assert counts.is_hit(unseen, {"object": obj, "style": style}, set())
    assert not counts.is_hit(unseen, {"object": obj, "style": "another"}, set())
    two = next(case for case in cases if case.group == "two")
    assert counts.is_hit(two, {}, set(two.label.split(", "))) and not counts.is_hit(two, {}, {"dog", "key"})
