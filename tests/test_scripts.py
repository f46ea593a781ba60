"""Benchmarks and tools can be imported: a name that moved in the package is noticed there too."""

from __future__ import annotations

import importlib
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
