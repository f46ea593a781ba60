"""The doctor names what is there, what is missing and how to get it, and its exit code says whether all is well."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from turpentine.cli import doctor as doctors
from turpentine.models.loading import source

Command = Callable[..., tuple[int, str, str]]


def test_it_lists_packages_extras_devices_places_and_the_model(command: Command) -> None:
    code, out, err = command("doctor", "--json")
    found = {each["name"]: each for each in json.loads(out)["checks"]}
    assert (code, err) == (0, "") and json.loads(out)["ok"]
    assert found["torch"]["has"] == version("torch") and found["polars"]["state"] == "ok"
    assert {"python", "cpu", "memory", "this folder", "cache of the hub", "embedded model", "hub"} <= set(found)
    assert "ray" in found["extra ray"]["has"]
    assert all(each["remedy"] for each in found.values() if each["state"] != "ok")


def test_what_is_to_be_put_right_comes_with_the_way_and_exit_code_1(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = [
        "no-such-package>=2",
        "numpy>=999",
        "polars",
        "no-such-extra; extra == 'ray'",
        "ruff; extra == 'dev'",
    ]
    monkeypatch.setattr(doctors, "requires", lambda _: requirements)
    code, out, _ = command("doctor")
    assert code == 1 and "2 things to put right" in out
    assert "no-such-package: pip install 'no-such-package>=2'" in out
    assert f"{version('numpy')}, >=999 is needed" in out and "pip install 'numpy>=999'" in out
    assert "extra ray: pip install 'turpentine[ray]', where you need it." in out and "ruff" not in out


def test_a_model_without_its_large_files_is_named(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(source, "WEIGHTS", tmp_path)  # where nothing is
    code, out, _ = command("doctor")
    assert code == 1 and "embedded model: Install Turpentine anew; of a clone, fetch its large files too." in out
    assert doctors._state(1e9) == "short"
