from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from report.fake_bench import FakeBench, fake_bench
from report.page import HOSTILE, Page

from turpentine.bench import Case
from turpentine.concepts import Concept
from turpentine.report import write_bench_report
from turpentine.report.table_page import render_bench
from turpentine.runs.plan import Plan
from turpentine.runs.specs import EditSpec

SKILL = {
    "": {},
    "esd-x": {"erased": 0.05, "neighbour": 0.6},
    "uce": {"erased": 0.3},
    "wipe": {"erased": 0.0, "other": 0.0},
}
ERROR = "NotFinite: The model draws NaN."


def few(concept: Concept) -> list[Case]:
    text = concept.text
    return [
        Case("erased", text, text, "object", text),
        Case("erased", f"{text}, with a colour", f"a {text} on a blue background", "object", text),
        *(Case("neighbour", obj, f"a {obj}", "object", obj) for obj in ("house", "cat")),
        *(Case("other", obj, f"a {obj}", "object", obj) for obj in ("truck", "horn")),
    ]


def spoil(method: str, prompt: str, seed: int) -> str | None:
    if method == "uce" and prompt == "a truck" and seed == 2:
        return ERROR
    return "blank" if method == "wipe" and seed < 2 else None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> FakeBench:
    return fake_bench(tmp_path_factory.mktemp("bench"), skill=SKILL, cases=few, spoil=spoil, seeds=3)


@pytest.fixture(scope="module")
def html(bench: FakeBench) -> str:
    path = write_bench_report(
        bench.table, bench.results, bench.plan, bench.store, command="turpentine bench mine.yaml --seeds 0-2"
    )
    assert path == bench.store.folder / "report.html"
    return path.read_text(encoding="utf-8")


def tables(html: str) -> tuple[list[list[tuple[str, str]]], list[list[tuple[str, str]]]]:
    """The lines by method, and by method and concept; as value and text of each cell."""
    whole, each = ([line for line in lines if line] for lines in Page(html).lines[:2])
    return whole, each


def test_the_page_is_well_formed_and_runs_its_own_script_only(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert not {"link", "iframe", "object", "base", "form"} & set(page.tags)
    sources = [value or "" for name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert not re.search(r"url\(|@import|https?://", html)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    script = html.split("<script>")[1].split("</script>")[0]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in html


def test_each_line_has_the_numbers_of_the_table(bench: FakeBench, html: str) -> None:
    _, each = tables(html)
    assert len(each) == 8
    for line in each:
        (method, _), (concept, _), *cells = line
        rows = bench.table.groups.filter(method="" if method == "unedited" else method, concept=concept)
        for row, (value, text) in zip(rows.iter_rows(named=True), cells, strict=False):
            assert float(value) == row["value"]
            assert f"{100 * row['value']:.0f}\u202f%" in text
            assert f"{100 * row['low']:.0f}–{100 * row['high']:.0f}" in text
            if row["diff"] is not None:
                sign = "−" if row["diff"] < 0 else "+" if row["diff"] > 0 else ""
                assert f"{sign}{abs(round(100 * row['diff']))} (" in text


def test_a_method_has_the_rate_of_all_its_pictures(bench: FakeBench, html: str) -> None:
    whole, _ = tables(html)
    results = pl.read_parquet(bench.results.path)
    assert [line[0][0] for line in whole] == ["unedited", "esd-x", "uce", "wipe"]
    for line in whole:
        method = "" if line[0][0] == "unedited" else line[0][0]
        for (value, text), group in zip(line[1:4], ("erased", "neighbour", "other"), strict=True):
            hits = results.filter(method=method, group=group)["hit"].drop_nulls()
            assert float(value) == pytest.approx(hits.sum() / len(hits))
            low, high = map(float, re.findall(r"(\d+)–(\d+)", text)[0])
            assert low <= 100 * float(value) <= high


def test_each_heading_can_sort_and_each_cell_has_what_it_is_sorted_by(html: str) -> None:
    for part in html.split('<table class="sortable">')[1:]:
        head, body = part.split("</table>")[0].split("</thead>")
        headings = re.findall(r'<th scope="col" data-kind="(text|number)"><button type="button">', head)
        assert len(headings) == head.count("<th ")
        for line in body.split("</tr>")[:-1]:
            values = re.findall(r'<t[dh][^>]* data-value="([^"]*)"|<td data-value="([^"]*)"', line)
            assert len(values) == len(headings)
            for kind, value in zip(headings, map("".join, values), strict=True):
                assert kind == "text" or value == "" or float(value) >= 0


def test_failures_come_first_and_say_whose_they_are(html: str) -> None:
    text = " ".join(Page(html).text.split())
    failed = text[text.index("What failed") : text.index("Changed against kept")]
    assert html.index('id="failures"') < html.index('id="front"') < html.index('id="numbers"')
    assert f"uce of church: {ERROR} (“a truck”, seed 2)" in failed
    assert "wipe of church: blank or noise: 67 %, 0 % before" in failed
    assert "uce of church: blank" not in failed


def test_each_number_leads_to_its_protocol_and_can_be_cited(bench: FakeBench, html: str) -> None:
    _, each = tables(html)
    for line in each:
        digest = line[-1][0]
        assert digest in bench.table.protocols
        assert f'href="#protocol-{digest}">{digest[:8]}</a>' in html
        assert f'id="protocol-{digest}"' in html
    text = Page(html).text
    assert f"results.parquet SHA-256 {bench.results.sha256}" in text
    assert all(facts["cases"] in text for facts in bench.table.protocols.values())
    assert "turpentine bench mine.yaml --seeds 0-2" in text


def test_the_pictures_of_a_column_are_of_the_same_prompt_and_seeds(html: str) -> None:
    shown = [value for name, value in Page(html).attributes if name == "alt"]
    by_method: dict[str, list[str]] = {}
    for told in filter(None, shown):
        method, rest = told.split(": ", 1)
        by_method.setdefault(method, []).append(rest)
    assert set(by_method) == {"unedited", "esd-x", "uce", "wipe"}
    assert by_method["unedited"] == by_method["esd-x"] == by_method["wipe"]


def test_the_edits_of_a_stack_are_named_and_have_their_settings(bench: FakeBench) -> None:
    line = next(each for each in bench.plan.conditions if each.method == "uce")
    assert line.edit_spec
    facts = {"name": "CADAmplify", "settings": {"share": 0.005}}
    top = EditSpec(line.source, facts, line.concepts, "uce, then cad-amplify", line.edit_spec)
    plan = Plan([*bench.plan.conditions, replace(line, edit_spec=top)])
    bench.store.edits.put(top, bench.store.edits.load(line.edit_spec), seconds=1.0)
    path = write_bench_report(bench.table, bench.results, plan, bench.store, bench.store.folder / "stack.html")
    text = " ".join(Page(path.read_text(encoding="utf-8")).text.split())
    settings = text[text.index("uce, then cad-amplify, edit 1 of 2") :]
    assert "steps150" in settings[: settings.index("uce, then cad-amplify, edit 2 of 2")]
    assert "share0.005" in settings


def test_names_from_outside_are_text_and_nothing_else(tmp_path: Path) -> None:
    bench = fake_bench(
        tmp_path,
        concepts=[Concept(HOSTILE)],
        skill={"": {}, HOSTILE: {"other": 0.0}},
        cases=lambda concept: [
            Case("erased", HOSTILE, HOSTILE, "object", HOSTILE),
            Case("other", HOSTILE, f"a dog {HOSTILE}", "object", "dog"),
        ],
        spoil=lambda method, prompt, seed: HOSTILE if method and seed == 1 else None,
        seeds=2,
    )
    results = pl.read_parquet(bench.results.path)
    methods = [(HOSTILE, {"name": HOSTILE, "settings": {HOSTILE: HOSTILE}})]
    html = render_bench(bench.table, results, bench.store.picture, methods=methods, command=HOSTILE)
    page = Page(html)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert all((value or "").startswith("data:image/png") for name, value in page.attributes if name == "src")
    assert "{{ 7*7 }}" in page.text
    assert not re.search("[\u202e\x1b]", html)


def test_a_bench_of_one_concept_has_one_table(tmp_path: Path) -> None:
    bench = fake_bench(tmp_path, concepts=[Concept("church")], skill=SKILL, cases=few, seeds=1)
    html = write_bench_report(
        bench.table, bench.results, bench.plan, bench.store, tmp_path / "deep" / "page.html"
    ).read_text("utf-8")
    assert html.count('<table class="sortable">') == 1
    assert "over all its concepts" not in html
