"""What can be refused of `turpentine explain INSTRUMENT` before the instrument is imported, which brings torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from turpentine.cli.checks import check_words
from turpentine.cli.flags import option_in
from turpentine.cli.options import ModelChoice, check_judge_flag, parse_seeds
from turpentine.cli.terminal import plain
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.plugins import Plugin, Written
from turpentine.core.suggest import nearest, offer

# Beside an instrument's own; `cli.instrument_command` makes flags of them.
_COMMON = (
    *("by", "clip-model", "config", "details", "device", "dtype", "force", "help", "json", "model", "no-zero-snr"),
    *("out", "prediction", "save", "seeds", "version", "zero-snr"),
)

# A prompt of one word such as "horsey" is less like a name of ours than that.
_SLIP = 0.75

_WHOLE = ("Count", "Seed")


def check_name(tokens: Sequence[str], names: Sequence[str]) -> None:
    """Check that a tour's prompt is none of a single word that is meant for an instrument's name.

    A word of the emoji world is a prompt, and so is one that holds the concept of the tour.

    Args:
        tokens: What follows `turpentine explain`.
        names: Of the instruments, and of what else `explain` does.

    Raises:
        UnknownName: It is nearly such a name.
    """
    from turpentine.emoji.lexicon import look_up

    word, concept = next(iter(tokens), ""), option_in(tokens, "--concept", "").strip()
    is_prompt = look_up(word) is not None or (bool(concept) and concept.lower() in word.lower())
    if not is_prompt and not word.startswith("-") and nearest(word, names, _SLIP):
        raise UnknownName(f"No instrument is called {plain(word)!r}: {offer(word, names)}")


def check_tokens(plugin: Plugin, tokens: Sequence[str]) -> None:
    """Check what the words after an instrument's name show by themselves.

    Args:
        plugin: The instrument.
        tokens: The words.

    Raises:
        TurpentineError: One cannot be.
    """
    source = ModelChoice(option_in(tokens, "--model", ModelChoice.model), option_in(tokens, "--device", "") or None)
    _check_options(f"turpentine explain {plugin.name}", plugin.written, tokens)
    parse_seeds(option_in(tokens, "--seeds", "0"))
    check_judge_flag(option_in(tokens, "--by", ""))
    source.check()
    check_words([option_in(tokens, "--concept", "")], source.model, force="--force" in tokens)


def _check_options(command: str, written: Mapping[str, Written], tokens: Sequence[str]) -> None:
    """Refuse an option that is nearly another one, a value that a setting cannot have, and a concept that is missing.

    What else is wrong is said when the line is parsed, with the instrument at hand.
    """
    own = {f"--{name.replace('_', '-')}": each for name, each in written.items()}
    flags = [*own, *(f"--{name}" for name in _COMMON)]
    given = [token.partition("=")[0] for token in tokens if token.startswith("--")]
    for flag in given if written else ():
        close = [name for name in nearest(flag, flags) if name[2:3] == flag[2:3]]
        if flag not in flags and not flag.startswith("--no-") and close:
            raise BadArgument(f"{command} has no option {plain(flag)}: did you mean {close[0]}?")
        if flag in own:
            _check_value(command, flag, own[flag].hint, option_in(tokens, flag, ""))
    if "--concept" in own and own["--concept"].is_required and "--concept" not in given:
        raise BadArgument(f"{command} needs --concept: see {command} --help.")


def _check_value(command: str, flag: str, hint: str, value: str) -> None:
    if hint.removesuffix(" | None") in _WHOLE and not any(char.isdigit() for char in value):
        raise BadArgument(f"Invalid value for {flag}: {plain(value)!r} is no whole number. See {command} --help.")
    if not hint.startswith("Literal[") or not hint.endswith("]"):
        return
    choices = ast.literal_eval(f"({hint.removeprefix('Literal[').removesuffix(']')},)")
    if value not in map(str, choices):
        listed = ", ".join(f'"{choice}"' for choice in choices)
        raise BadArgument(f'Invalid value "{plain(value)}" for {flag}. Choose from: {listed}. See {command} --help.')
