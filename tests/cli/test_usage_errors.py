"""Wrong usage as one sentence: what is missing with an example, and which settings a method has."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (
            ("erase",),
            "There is no concept to erase: write turpentine erase church --method uce",
        ),
        (("audit",), "There is no edit to audit: write turpentine audit runs/church-uce"),
        (("study", "serve"), "There is no plan to serve: write turpentine study serve artist-likeness --port 8000."),
        (("study", "export", "x"), "turpentine study export needs --out: write turpentine study export "),
        (("judge",), "There is no picture to judge: write turpentine judge pictures --by emoji."),
        (("apply", "a"), "turpentine apply needs --out: write turpentine apply runs/church-uce/edit.safetensors --out"),
        (("explain", "a church"), "turpentine explain needs --concept: write turpentine explain "),
        (
            ("erase", "church", "--method", "cad", "--eta", "1"),
            "cad has no setting --eta, it has --sites, --score, ",
        ),
        (("erase", "church", "--method", "cad", "--eta", "1"), "; esd, uce have --eta."),
        (("erase", "church", "--method", "uce", "--lmab", "1"), "has no option --lmab: did you mean --lamb?"),
        (("generate", "x", "--setps", "1"), "turpentine generate has no option --setps: did you mean --steps?"),
        (("generate", "x", "--steps", "1.5"), "Invalid value for --steps: '1.5' is no whole number."),
        (
            ("erase", "church", "--method", "esd-x", "--steps", "1.5"),
            "Invalid value for --steps: '1.5' is no whole number.",
        ),
        (
            ("audit", "a", "--minutes", "abc"),
            "Invalid value for --minutes: 'abc' is no number. See turpentine ",
        ),
        (("world", "foo"), "turpentine world does not take 'foo': see turpentine world --help."),
        (("erase", "church", "--guidance", "nan"), "--guidance is nan: give a finite number."),
        (("genrate",), "turpentine has no command 'genrate': did you mean 'generate'"),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_what_to_write(
    tokens: tuple[str, ...], sentence: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = command(*tokens)
    assert (code, out) == (2, "")
    assert sentence in err and err.count("\n") == 1
