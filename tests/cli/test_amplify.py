"""`turpentine amplify`: as `erase` is, and it speaks of more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import turpentine as tp

pytestmark = pytest.mark.usefixtures("few_steps")
Command = Callable[..., tuple[int, str, str]]
QUICK = ("--seeds", "0", "--draws", "2", "--pictures", "1", "--guidance", "1")


def test_the_embedded_model_is_amplified_and_the_report_speaks_of_more(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tokens = ["church", *QUICK, "--out", str(out)]
    code, printed, err = command("amplify", *tokens)
    assert code == 0, err
    assert "amplified" in printed
    assert "erased" not in printed
    edit = tp.Edit.load(out / "edit.safetensors")
    assert (edit.provenance.method, edit.provenance.settings["source"]) == ("CADAmplify", "world")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "church<span>, amplified</span>" in page
    assert "Amplified with CADAmplify in the model emoji" in page
    assert "goal=&#39;amplify&#39;" in page
    assert "erased" not in page.lower()
    assert "turpentine amplify church" in page
    code, printed, _ = command("amplify", *tokens, "--json")
    told = json.loads(printed)
    assert (code, told["edit"]) == (0, edit.id)
    assert "amplified" in told["summary"]
    assert {row["group"] for row in told["labels"]} >= {"amplified", "other"}
    code, _, err = command("erase", *tokens, "--method", "cad-amplify")
    assert code == 2
    assert err == "cad-amplify amplifies: use `turpentine amplify`.\n"


def test_settings_are_flags_and_faults_are_sentences(command: Command, tiny_folder: str) -> None:
    code, out, _ = command("amplify", "--help")
    assert code == 0
    assert "--source" in out
    assert "--keep" in out
    for tokens, named in (
        (["church", "--share", "0"], "share"),
        ([], "no concept to amplify"),
        (["x", "--seeds", "y"], "'y'"),
    ):
        code, out, err = command("amplify", *tokens, "--model", tiny_folder)
        assert (code, out) == (2, "")
        assert named in err


@pytest.mark.parametrize(
    ("text", "written"), [("nine lives", "nine lives"), ("a church in the style of noto", "church in noto style")]
)
def test_scenes_and_pairs_are_amplified_by_the_worlds_pictures_of_them(
    command: Command, loaded_once: None, tmp_path: Path, text: str, written: str
) -> None:
    code, printed, err = command("amplify", text, *QUICK, "--no-measure", "--json", "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert json.loads(printed)["concepts"] == [written]
    assert "Warning" not in err
