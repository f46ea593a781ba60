"""The graph of who cites whom: the page is the tool's, complete, and loads nothing."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("citations", ROOT / "tools" / "citations.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


citations = _tool()
GRAPH = citations.Graph.read()
HTML = citations.PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_the_tool_makes() -> None:
    assert citations.page_of(GRAPH) == HTML, "run python tools/citations.py"


def test_every_work_and_every_citation_is_on_the_page() -> None:
    (text,) = re.findall(r"^const data = (.*);$", HTML, re.MULTILINE)
    data = json.loads(text.replace("<\\/", "</"))
    assert [work["name"] for work in data["works"]] == list(GRAPH.works)
    assert len(data["edges"]) == sum(map(len, [*GRAPH.cites.values(), *GRAPH.alike.values()]))
    assert all(work["terms"] and len(work["terms"]) <= citations.TERMS for work in data["works"])
    assert {name for name, work in GRAPH.works.items() if work.source} == {"thesis", "talk", "cad", "quickfix"}


def test_no_work_stands_alone() -> None:
    edges = [*GRAPH.cites.items(), *GRAPH.alike.items()]
    joined = {name for one, others in edges for name in (one, *others)}
    assert joined == set(GRAPH.works)


def test_it_loads_nothing() -> None:
    assert re.findall(r"""(?:src|href)=["'](?!#)[^"']*|@import|url\(|fetch\(|XMLHttpRequest""", HTML) == []
    assert re.findall(r"https?://[^\"' ]+", HTML) == ["http://www.w3.org/2000/svg", "https://arxiv.org/abs/"]


@pytest.mark.parametrize("words", ["pointerenter", "pointerdown", "wheel", "data-zoom", "keydown", "work.terms"])
def test_it_can_be_hovered_clicked_dragged_zoomed_and_read(words: str) -> None:
    assert words in HTML


def test_key_terms_are_those_with_the_largest_tf_idf() -> None:
    texts = {"a": "causal tracing causal", "b": "tracing images", "c": "images images images pictures"}
    terms = citations.key_terms(texts, 2)
    causal, tracing = 2 * (math.log(3) + 1), math.log(3 / 2) + 1
    assert terms["a"] == [
        ("causal", round(causal / math.hypot(causal, tracing), 3)),
        ("tracing", round(tracing / math.hypot(causal, tracing), 3)),
    ]
    assert [word for word, _ in terms["c"]] == ["images", "pictures"]


@pytest.mark.parametrize("cites", ["{a: [b]}", "{a: [a]}", "{b: [a]}"])
def test_a_line_to_nowhere_is_refused(cites: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(f'works: {{a: {{title: t, by: x, year: 2020, about: s, here: ""}}}}\ncites: {cites}\nalike: {{}}\n')
    with pytest.raises(ValueError, match="there is no work"):
        citations.Graph.read(path)
