from __future__ import annotations

import json
from collections.abc import Callable

from turpentine.erase.esd import ESD

Command = Callable[..., tuple[int, str, str]]


def test_every_method_is_listed(command: Command) -> None:
    code, out, _ = command("methods", "--json")
    assert code == 0
    assert {"esd", "esd-x", "esd-u"} <= {each["name"] for each in json.loads(out)}


def test_settings_are_told_with_their_defaults_for_the_model(command: Command) -> None:
    for model in ("emoji", "CompVis/stable-diffusion-v1-4"):
        told = json.loads(command("methods", "esd-u", "--model", model, "--json")[1])
        defaults = {each["setting"]: each["default"] for each in told["settings"]}
        expected = ESD.preset(model, sites="u")
        assert defaults["steps"] == expected.steps
        assert defaults["sites"] == "u"


def test_a_person_reads_a_table(command: Command) -> None:
    code, out, _ = command("methods", "esd")
    assert code == 0
    assert "guidance_scale" in out
    assert "are those for a small model, as emoji is taken to be" in out
    assert "those for a model of full size, as a/b is taken to be" in command("methods", "esd", "--model", "a/b")[1]


def test_a_misspelt_model_has_no_defaults(command: Command) -> None:
    code, out, err = command("methods", "esd", "--model", "emoji-65")
    assert (code, out) == (2, "")
    assert "did you mean 'emoji-64'" in err


def test_an_unknown_method_is_refused(command: Command) -> None:
    code, _, err = command("methods", "nonsense")
    assert code == 2
    assert "esd-x" in err
