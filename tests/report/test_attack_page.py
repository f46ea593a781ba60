"""The page of attacks beside their controls."""

from __future__ import annotations

from pathlib import Path

from turpentine.attack.completion import Completion
from turpentine.attack.controls import battery
from turpentine.models import Model
from turpentine.report.attack_page import NO_POWER, write_attack_page
from turpentine.testing.contracts.attack import QUICK, CoinJudge


def test_the_page_has_each_attack_with_its_artefact_controls_and_pictures(sd1: Model, tmp_path: Path) -> None:
    whole = battery([Completion()], sd1, "church", original=sd1, judge=CoinJudge(), trial=QUICK, check=False)
    path = write_attack_page(
        whole, tmp_path / "attack.html", concept="<church>", facts={"model": "toy"}, command="turpentine attack x"
    )
    html = path.read_text()
    assert "&lt;church&gt;" in html and "<church>" not in html
    assert "4 latents of step 1" in html and "turpentine attack x" in html
    assert html.count("data:image/") == 3 and "only hidden" in html
    assert (NO_POWER in html) == (whole.has_power("completion") is False)
