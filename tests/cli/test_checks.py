"""What is refused before torch is imported: words that the embedded model does not know, and devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from turpentine.cli.checks import announce, check_device, check_words
from turpentine.core.errors import BadArgument, ModelNotFound, UnknownName


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("chruch", r"does not know 'chruch', .*did you mean 'church'; --force"),
        ("gas pmp", "did you mean 'gas pump'"),
        ("a church in inc style", "did you mean 'ink'"),
        (
            "dragon",
            "objects such as cassette, .* and styles such as ink and line, see turpentine world; --force",
        ),
    ],
)
def test_a_word_that_the_world_lacks_is_refused_with_the_nearest_unless_forced(text: str, sentence: str) -> None:
    with pytest.raises(UnknownName, match=sentence):
        check_words(["dog", text], "emoji", force=False)
    with pytest.raises(UnknownName, match=f"The model emoji-64 does not know '{text}'"):
        check_words([text], "emoji-64", force=False)
    check_words([text], "emoji", force=True)
    check_words([text], "CompVis/stable-diffusion-v1-4", force=False)


@pytest.mark.parametrize("name", ["attack", "audit"])
def test_a_flag_that_a_command_does_not_have_is_not_offered(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str
) -> None:
    code, _, error = command(name, str(tmp_path / "edit.safetensors"), "--concept", "chruch")
    assert code == 2 and "did you mean 'church'." in " ".join(error.split()) and "--force" not in error
    code, _, error = command(name, str(tmp_path / "edit.safetensors"), "--concept", "church", "--force")
    assert code == 2 and "--force" in error  # there is none


@pytest.mark.parametrize(
    "text", ["a dog.", "A Church, on a red background", "the night watcher by lumen", "nine lives"]
)
def test_what_the_world_has_is_known_whatever_the_punctuation(text: str) -> None:
    check_words([text], "emoji", force=False)
    check_words([text], "emoji-64", force=False)


def test_a_device_is_one_by_its_name() -> None:
    for name in (None, "cpu", "cuda", "cuda:1", "mps"):
        check_device(name)
    for name in ("banana", "", "cuda:", "cpu:x", "gpu"):
        with pytest.raises(BadArgument, match=f"There is no device '{name}' here"):
            check_device(name)


def test_a_judge_that_nobody_has_is_refused_before_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelNotFound, match=r"'nowhere' is neither a folder here .*, which cannot be reached"):
        announce(SimpleNamespace(name="x", model="nowhere", download="nowhere from the hub"))  # type: ignore[arg-type]
    announce(SimpleNamespace(name="x", model="nowhere", download=None))  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("tokens", [("bench",), ("attack",), ("study", "check")], ids=" ".join)
def test_what_a_list_would_pass_over_is_refused(tokens: tuple[str, ...], command: Callable[..., Any]) -> None:
    assert command(*tokens, "--list", "emoji-objects")[0::2] == (
        2,
        "--list prints what there is and does nothing else: leave out emoji-objects.\n",
    )
