"""Every block of code in the documentation runs, or is checked where it says why it is not run."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from cyclopts import CycloptsError
from doc_blocks import NOTEBOOKS, PAGES, ROOT, Block, blocks_of
from doc_runner import PROJECT, check_command, check_python, check_sh, run_python, run_sh, write_data
from judges.toys import saved_clip
from tiny import tiny_sd1

from turpentine.models.loading import load

BLOCKS = {path.name: blocks_of(path) for path in (*PAGES, *NOTEBOOKS)}
LANGUAGES = {"python", "sh", "yaml", "toml"}
DIRECTIVES = {"{toctree}", "{include}"}
NOT_RUN = {
    "hours of drawing": 12,
    "hours of training": 3,
    "an hour of drawing": 10,
    "it takes people": 3,
    "it serves until Ctrl-C": 2,
}
"""How many blocks are not run, by the reason that they give: one more is a decision."""

QUICK = {"steps=10": "steps=1", "range(16)": "range(1)", "range(8)": "range(1)", "range(5)": "[0] * 5"}
"""What is smaller in the notebooks when they are run here."""


def code_of(page: str) -> list[Block]:
    return [block for block in BLOCKS[page] if block.language not in DIRECTIVES]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tiny models of the same architecture in the place of those that a hub has."""
    folder = tmp_path_factory.mktemp("hub")
    tiny_sd1().save_pretrained(folder / "sd1")
    clip = saved_clip(folder / "clip")
    hub = ("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14")
    return {"CompVis/stable-diffusion-v1-4": str(folder / "sd1"), **dict.fromkeys(hub, clip)}


@pytest.fixture(scope="module")
def embedded() -> Any:
    """The embedded model's pipeline, read once: each command and each page would read it again."""
    return load.read_folder(load.locate("emoji"), torch.float32, torch.device("cpu"))


@pytest.fixture(autouse=True)
def read_once(embedded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = load.locate("emoji"), load.read_folder

    def read_folder(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
        return copy.deepcopy(embedded) if (folder, dtype) == (path, torch.float32) else read(folder, dtype, device)

    monkeypatch.setattr(load, "read_folder", read_folder)


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module for a page's names, in an empty folder."""
    module = ModuleType("page_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.parametrize("page", [page for page in BLOCKS if code_of(page)])
def test_the_blocks_of_a_page_run_in_their_order(
    page: str, namespace: ModuleType, stand_ins: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    quick = QUICK if page.endswith(".ipynb") else {}
    for block in code_of(page):
        code = block.code({**stand_ins, **quick})
        if block.language == "python" and block.reason:
            check_python(block, code, set(vars(namespace)))
        elif block.language == "python":
            check_python(block, code, set(vars(namespace)))
            run_python(block, code, vars(namespace))
        elif block.language == "sh" and block.reason:
            check_sh(block, code)
        elif block.language == "sh":
            run_sh(block, code)
        else:
            write_data(block, code)


def test_every_block_says_its_language_and_no_other_is_there() -> None:
    wrong = [block.place for page in BLOCKS for block in code_of(page) if block.language not in LANGUAGES]
    assert wrong == [], "write ```python, ```sh, ```yaml or ```toml: no code is indented alone"


def test_what_is_not_run_says_why_and_is_counted() -> None:
    assert Counter(block.reason for page in BLOCKS for block in code_of(page) if block.reason) == NOT_RUN
    assert not any(block.swaps and block.reason for page in BLOCKS for block in code_of(page))


def test_pages_of_directives_alone_have_no_code() -> None:
    for path in (ROOT / "docs" / "api").glob("*.rst"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"::$|code-block|>>>", text, re.MULTILINE), path.name


def test_notebooks_show_what_they_gave() -> None:
    for path in NOTEBOOKS:
        cells = [each for each in json.loads(path.read_text(encoding="utf-8"))["cells"] if each["cell_type"] == "code"]
        assert any(cell["outputs"] for cell in cells), f"{path.name}: run make notebooks"
        outputs = [each for cell in cells for each in cell["outputs"]]
        assert not [each for each in outputs if each["output_type"] == "error" or each.get("name") == "stderr"]


@pytest.mark.parametrize(
    "line", ["turpentine erase church --colour red", "make coffee", "pip install turpentine[tea]", "rm -rf /"]
)
def test_a_command_that_cannot_be_is_noticed(line: str) -> None:
    with pytest.raises((AssertionError, CycloptsError)):
        check_command(Block("page", 1, "sh", line), line.split())


@pytest.mark.parametrize(
    "code", ["edit.save('x')", "import turpentine as tp\ntp.loaded()", "import turpentine as tp\ntp.erase.ESD(stepz=3)"]
)
def test_python_that_cannot_be_is_noticed(code: str) -> None:
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        check_python(Block("page", 1, "python", code), code, set())


def test_the_reference_has_every_plugin() -> None:
    reference = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.rst"))
    classes = {target.replace(":", ".") for group in PROJECT["entry-points"].values() for target in group.values()}
    assert {each for each in classes if f"autoclass:: {each}\n" not in reference} == set()


def test_every_page_is_in_the_contents() -> None:
    front = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/-]+)$", front, re.MULTILINE))
    docs = ROOT / "docs"
    pages = [*docs.glob("*.md"), *docs.glob("notebooks/*.ipynb"), *docs.glob("api/*.rst")]
    assert listed == {str(path.relative_to(docs).with_suffix("")) for path in pages} - {"index"}
