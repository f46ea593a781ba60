"""The page of attacks beside their controls."""

from __future__ import annotations

from pathlib import Path

import torch

from turpentine.attack.completion import Completion
from turpentine.attack.controls import battery
from turpentine.attack.leak import leak_of
from turpentine.attack.revival import Revival
from turpentine.attack.victim import Victim
from turpentine.edits import Edit, Zeroed
from turpentine.models import Model
from turpentine.report.attack_page import NO_POWER, write_attack_page
from turpentine.testing.contracts.attack import QUICK, CoinJudge


def test_the_page_has_each_attack_with_its_artefact_controls_and_pictures(sd1: Model, tmp_path: Path) -> None:
    whole = battery([Completion()], sd1, "church", original=sd1, judge=CoinJudge(), trial=QUICK)
    path = write_attack_page(
        whole, tmp_path / "attack.html", concept="<church>", facts={"model": "toy"}, command="turpentine attack x"
    )
    html = path.read_text()
    assert "&lt;church&gt;" in html and "<church>" not in html
    assert "4 latents of step 1" in html and "turpentine attack x" in html
    assert html.count("data:image/") == 2 and "only hidden" in html
    assert 'id="leak"' not in html
    assert (NO_POWER in html) == (whole.has_power("completion") is False)


def test_the_page_of_an_edit_has_a_panel_of_what_its_file_gives_away(sd1: Model, tmp_path: Path) -> None:
    names = ["unet.conv_in.weight", "unet.conv_out.bias"]
    delta = torch.zeros_like(sd1.parameter(names[1]))
    edit = Edit({names[1]: delta + 1}, zeroed={names[0]: Zeroed(tuple(sd1.parameter(names[0]).shape), torch.arange(7))})
    edited = Victim(sd1, (edit,))
    whole = battery([Revival(rank=1, rounds=1)], edited, "church", original=sd1, judge=CoinJudge(), trial=QUICK)
    path = write_attack_page(whole, tmp_path / "attack.html", concept="church", facts={}, leak=leak_of(edit, sd1))
    html = path.read_text()
    assert 'href="#leak"' in html and "What the file alone gives away" in html
    assert "unet.conv_in" in html and "7 of the" in html and "2.43\u202f%" in html
    assert "Weights of 0 filled from those around them" in html
    cells = [part.split(">")[0] for part in html.split("<td")[1:]]
    # A telephone shows no head.
    assert cells[:3] == [f' data-label="{name}"' for name in ("set to 0", "‖ΔW‖", "rank")]
