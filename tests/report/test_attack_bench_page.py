"""The page of a bench of attacks."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from turpentine.attack.attacked import sheet
from turpentine.bench.attack_bench import AttackTable
from turpentine.bench.attack_file import AttackSpec, read_attack_bench
from turpentine.bench.attack_jobs import artefact_path
from turpentine.report.attack_bench_page import write_attack_bench_page

ARMS = [("edited", "uce"), ("edited", "esd-x"), ("original", ""), ("only hidden", ""), ("never seen", "")]


@pytest.fixture(scope="module")
def spec() -> AttackSpec:
    changes = ["methods=[uce, esd-x]", "attacks=[cce]", "concepts=[church, dog]", "budget={backward: 200}"]
    spec = read_attack_bench("emoji-attacks", [*changes, "title=Ways <back>"])
    assert spec is not None
    return spec


@pytest.fixture
def table(tmp_path: Path) -> AttackTable:
    """Twelve pictures of each arm, of which those of cce are hits but for what was never seen."""
    rows, curves = [], []
    for attack in ("no attack", "cce"):
        for arm, method in ARMS:
            for concept in ("anchor",) if arm == "never seen" else ("church", "dog"):
                if (attack, arm) == ("no attack", "never seen"):
                    continue
                hits = 12 * (attack == "cce" and arm != "never seen")
                facts = {"model": "toy", "concept": concept, "method": method, "attack": attack, "arm": arm}
                search = {"seed": None if attack == "no attack" else 0}
                numbers = {"hits": hits, "n": 12, "success": hits / 12, "low": 0.1, "high": 0.9}
                rows.append({**facts, **search, **numbers, "outcomes": [hits > 0] * 12})
                spent = {"forward": 0, "text": 0, "judged": 0}
                curves += [
                    {**facts, **search, **numbers, **spent, "forward": 10 * stage, "stage": stage} for stage in range(2)
                ]
                path = artefact_path(tmp_path, rows[-1], ".png")
                path.parent.mkdir(parents=True, exist_ok=True)
                sheet([Image.new("RGB", (8, 8), (place, 0, 0)) for place in range(12)]).save(path)
    stages = pl.DataFrame(curves).filter(attack="cce")
    return AttackTable("Ways <back>", pl.DataFrame(rows), stages, {"toy, saw": "not drawn <at all>"}, {})


def test_the_page_has_rates_beside_controls_differences_curves_pictures_and_what_was_left_out(
    table: AttackTable, spec: AttackSpec, tmp_path: Path
) -> None:
    path = write_attack_bench_page(table, spec, tmp_path, command="turpentine bench emoji-attacks")
    html = path.read_text()
    assert path == tmp_path / "attacks.html" and "Ways &lt;back&gt;" in html and "<back>" not in html
    assert "not drawn &lt;at all&gt;" in html and "turpentine bench emoji-attacks" in html
    assert html.count('class="dot"') == (4 + 5) + 2 * 4 + 2 * 4 + 1  # over all concepts, and one by one
    assert "church" in html and "backward 200" in html and "updates" in html
    assert html.count('<tr><th scope="row">uce</th><td>cce</td>') == 1
    assert html.count('src="data:image/png') == 4 * (4 * 2 * 2 + 1) + html.count('class="plot"')
    assert html.count('class="plot"') == 1
    assert "+100 (" in html  # more than plain prompts, and more than of what was never seen


def test_pictures_that_are_gone_are_said_to_be(table: AttackTable, spec: AttackSpec, tmp_path: Path) -> None:
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    assert "the pictures are gone" in write_attack_bench_page(table, spec, tmp_path).read_text()


def test_a_table_without_stages_controls_or_other_concepts_has_a_page(
    table: AttackTable, spec: AttackSpec, tmp_path: Path
) -> None:
    rows = table.rows.filter(arm="edited", concept="dog", method="uce", attack="cce")
    html = write_attack_bench_page(AttackTable("x", rows, table.curves.filter(stage=0)), spec, tmp_path).read_text()
    assert 'id="curves"' not in html and "By attack and concept" not in html and "left out" not in html
