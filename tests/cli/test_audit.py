"""`turpentine audit`, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import turpentine as tp
from turpentine.models import load

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def edit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an edit of the embedded model that erases church, at no strength."""
    model = load()
    path = tmp_path_factory.mktemp("edit") / "church.safetensors"
    tp.erase.UCE.preset(model)(model, tp.Concept("church")).scaled(0.0).save(path)
    return path


def test_an_edit_without_strength_is_not_erased_and_the_exit_code_says_not_gone(
    command: Command, edit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.audit.plan.QUICK_PICTURES", 20)
    line = ("audit", str(edit), "--attack", "completion", "--quick", "--steps", "2", "--out", str(tmp_path))
    code, printed, error = command(*line)
    assert code == 3, error
    assert "1 attacks on 4 arms, 20 pictures" in printed and "never that a concept is gone" in " ".join(printed.split())
    assert "not erased" in printed and json.loads((tmp_path / "audit.json").read_text())["exit_code"] == 3
    assert "<h1>church<span>, not erased" in (tmp_path / "audit.html").read_text()
    code, printed, error = command(*line, "--json")  # drawn already
    assert code == 3 and json.loads(printed)["verdict"] == "not erased"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--minutes", "0"), "--minutes is 0.0: give a number above 0"),
        (("--minutes", "0.0001"), "do not reach for an audit that decides anything"),
        (("--never", "dog"), "no pictures of 'dog': choose one of mushroom"),
        (("--attack", "uce"), "uce"),
        (("--concept", " "), "There is no concept"),
        (("--concept", "chruch"), "church"),
        (("--by", "none"), "There is no judge"),
        (("--oracle", "emoji"), "is emoji itself"),
        (("--oracle", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    command: Command, edit: Path, tmp_path: Path, flags: tuple[str, ...], why: str
) -> None:
    code, _, error = command("audit", str(edit), "--quick", "--steps", "1", "--out", str(tmp_path / "out"), *flags)
    assert code == 2 and why in " ".join(error.split()) and "Traceback" not in error
    assert not list((tmp_path / "out").glob("audit.*"))


def test_a_file_that_is_no_edit_is_refused(command: Command, tmp_path: Path) -> None:
    assert command("audit", str(tmp_path / "missing.safetensors"))[0] == 2
    assert command("audit")[0] == 2
