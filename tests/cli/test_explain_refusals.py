"""What `turpentine explain` refuses: one sentence, exit code 2, and nothing written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("loaded_once")
LONG = "a dog" + " church" * 40

ON_A_PROMPT = ("intervene", "dynamics", "maps", "contributions", "clock", "trace", "locogen", "coar")
ASKED = {"trace": ("--concept", "dog"), "locogen": ("--concept", "dog")}


@pytest.mark.parametrize("instrument", ON_A_PROMPT)
@pytest.mark.parametrize(
    ("prompt", "flags", "said"),
    [
        (
            LONG,
            (),
            "church church church' would be cut off",
        ),
        ("a dog", ("--seeds", "one"), "'one' are no seeds"),
    ],
    ids=["long", "seeds"],
)
def test_every_instrument_refuses(
    instrument: str, prompt: str, flags: tuple[str, ...], said: str, command: Callable[..., object], tmp_path: Path
) -> None:
    told = command("explain", instrument, prompt, *ASKED.get(instrument, ()), *flags, "--out", str(tmp_path / "out"))
    assert (told.code, told.out) == (2, "")
    assert said in told.err and told.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("dynamics", "a dog", "--seeds", "3-1"), "3-1 is no range of seeds"),
        (("dynamics", "a dog", "--seeds", ""), "'' are no seeds"),
        (("dynamics", "a dog", "--steps", "2000"), "2000 steps cannot be taken"),
        (("contributions", "a dog", "--sites", "UP77"), "UP77"),
        (("intervene", "a dog", "--kind", "taste"), "No site has kind 'taste'"),
        (("intervene", "a dog", "--kind", "resnet", "--letters", "p4"), "'p4' swaps the prompt, which resnet does not"),
        (("dynamics", "a dog", "--kind", "taste"), "No site has kind 'taste'"),
        (("maps", "a dog", "--threshold", "2"), "over 0 and up to 1"),
        (("maps", "a dog", "--size", "33"), "33 x 33 is not a whole number of latents"),
        (("maps", ""), "The prompt '' has no word to map"),
        (("maps", "a dog", "--words", ""), "word is empty"),
        (("clock", "a dog", "--times", "=1.5"), "more than the whole schedule"),
        (("locogen", "a dog", "--concept", "dog", "--target", LONG), "would be cut off"),
        (("trace", "a dog", "--concept", ""), "The concept or word is empty"),
        (("trace", "a dog", "a cat", "--concept", "dog"), "'dog' is not in"),
        (("locogen", "a dog", "--concept", " "), "The concept or word is empty"),
        (("trace", "a dog", "--concept", "dog", "--noise", "-1"), "over 0"),
        (("trace", "a dog", "--concept", "dog", "--by", "nobody"), "No judge is called 'nobody'"),
        (("entangle", "dog=dog,dog"), "'dog' beside 'dog' and 'dog' shows nothing"),
        (("entangle", "owl=dog,apple", "dog=cat,Dog"), "'dog' beside 'cat' and 'Dog' shows nothing"),
        (("entangle", "dog=cat,cat"), "'dog' beside 'cat' and 'cat' shows nothing"),
        (("entangle", "dog=cat,church", "dog=owl,apple"), "'dog' is there twice"),
        (("entangle", "dog=cat,church", "--seeds", "one"), "'one' are no seeds"),
        (("heads", "dog,cat", "church,house", "--template", LONG + " {}"), "would be cut off"),
        (("heads", "dog,dog", "church,house"), "'dog' is there twice"),
        (("heads", "dog,cat", "church,cat"), "'cat' is there twice"),
    ],
)
def test_what_only_one_instrument_is_told_is_refused_too(
    tokens: tuple[str, ...], said: str, command: Callable[..., object], tmp_path: Path
) -> None:
    told = command("explain", *tokens, "--out", str(tmp_path / "out"))
    assert (told.code, told.out) == (2, "")
    assert said in told.err and told.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


ALL_ASKED = {
    **{name: (name, "a dog", *ASKED.get(name, ())) for name in ON_A_PROMPT},
    "entangle": ("entangle", "dog=cat,church"),
    "heads": ("heads", "dog,cat", "church,house"),
    "segment": ("segment", "a.png", "--concept", "a dog"),
    "tour": ("a dog", "--concept", "dog"),
}


@pytest.mark.parametrize("asked", ALL_ASKED.values(), ids=ALL_ASKED)
def test_a_place_that_cannot_be_written_is_named_before_a_model_is_loaded(
    asked: tuple[str, ...], command: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.models.loading.load", lambda *_, **__: pytest.fail("a model was loaded"))
    taken = tmp_path / "taken"
    taken.write_text("mine")
    places = [taken, taken / "inside"] + ([Path("/proc/explained")] if sys.platform == "linux" else [])
    for place in places:
        told = command("explain", *asked, "--out", str(place))
        assert (told.code, told.out) == (2, "")
        assert str(place if "proc" in place.parts else taken) in told.err and "choose another folder" in told.err
        assert told.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"] and taken.read_text() == "mine"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("trce", "a church"), "did you mean 'trace'"),
        (("tracee",), "did you mean 'trace'"),
        (("tracee", "--concept", "church"), "did you mean 'trace'"),
        (("thesiss", "--dry-run"), "did you mean 'thesis'"),
        (("nope", "a church"), "No instrument is called 'nope': there are blocks"),
    ],
)
def test_an_instrument_that_is_none_is_named(
    command: Callable[..., Any], tokens: tuple[str, ...], message: str
) -> None:
    code, _, err = command("explain", *tokens)
    assert code == 2 and message in err and err.count("\n") == 1
