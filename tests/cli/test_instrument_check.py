"""What an instrument's options show by themselves: as the parser says it, and nothing that it would let pass."""

from __future__ import annotations

import pytest

from turpentine.cli.instrument_check import check_name, check_tokens
from turpentine.cli.replicate import HEADLINES
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.plugins import Plugin, plugins
from turpentine.emoji.lexicon import NAMES

TRACE = plugins("instrument")["trace"]


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (("--stepz", "3"), "turpentine explain trace has no option --stepz: did you mean --steps?"),
        (("--stepz=3",), "turpentine explain trace has no option --stepz: did you mean --steps?"),
        (("--modle", "x"), "has no option --modle: did you mean --model?"),
        (("--steps", "many"), "Invalid value for --steps: 'many' is no whole number"),
        (("--where", "banana"), 'Invalid value "banana" for --where. Choose from: "denoiser", "text"'),
        ((), "turpentine explain trace needs --concept"),
    ],
)
def test_a_wrong_option_is_a_sentence(tokens: tuple[str, ...], sentence: str) -> None:
    concept = ("--concept", "church") if tokens else ()
    with pytest.raises(BadArgument) as caught:
        check_tokens(TRACE, ["a church", *concept, *tokens])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "tokens",
    [
        ("--steps", "3", "--where", "text", "--seeds", "0-3", "--json", "--no-zero-snr"),
        ("--guidance-scale=-1.5", "--seed", "7", "--save", "there", "--zero-snr"),
        ("--nothing-like-any", "x"),  # the parser says which there are
    ],
)
def test_what_may_be_right_is_left_to_the_parser(tokens: tuple[str, ...]) -> None:
    check_tokens(TRACE, ["a church", "--concept", "church", *tokens])


def test_of_an_instrument_whose_source_is_not_here_no_option_is_refused() -> None:
    check_tokens(Plugin("x", "instrument", "nowhere:X"), ["a church", "--stepz", "3"])


@pytest.mark.parametrize("tokens", [("tracee",), ("tracee", "--seeds", "0"), ("Trace", "--concept", "church")])
def test_a_mistyped_name_is_no_prompt(tokens: tuple[str, ...]) -> None:
    with pytest.raises(UnknownName, match="did you mean 'trace'"):
        check_name(tokens, ["trace", "maps"])


@pytest.mark.parametrize("tokens", [(), ("--concept", "church"), ("church",), ("traces", "--concept", "Trace")])
def test_what_may_be_a_prompt_is_left_to_the_tour(tokens: tuple[str, ...]) -> None:
    check_name(tokens, ["trace", "maps"])


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_the_world_is_taken_for_an_instrument(name: str) -> None:
    check_name((name,), [*plugins("instrument"), *HEADLINES])
