"""`turpentine explain`: where, when and how a model knows what a prompt says, an instrument for each question."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App

from turpentine.cli.help_text import example_of, usage_of, with_help
from turpentine.cli.instrument_check import check_name, check_tokens
from turpentine.cli.instrument_command import command_of, example_line, help_of
from turpentine.cli.replicate import HEADLINES, replicate
from turpentine.cli.tour import tour
from turpentine.core.errors import TurpentineError
from turpentine.core.plugins import Plugin, find, plugins

_USAGE = """Usage: turpentine explain --concept TEXT [OPTIONS] PROMPT
       turpentine explain COMMAND [OPTIONS] ..."""


def explain_app(tokens: Sequence[str] | None = None) -> App:
    """Return the command with its instruments, of which those are loaded that the tokens after it need.

    Args:
        tokens: What follows `explain` on the command line; None where another command is run.
    """
    app = App(
        name="explain",
        help="Say where, when and how a model knows what a prompt says, by one instrument or by all of a tour.",
        usage=_USAGE,
        help_epilogue=f"Example: {example_of(tour.__doc__)}",
    )
    app.default(with_help(tour))
    tokens = tokens or ()
    instruments = plugins("instrument")
    if tokens and tokens[0] in HEADLINES:
        name = tokens[0]
        help_epilogue = f"Example: turpentine explain {name} --dry-run"
        app.command(with_help(replicate(name)), name=name, help=HEADLINES[name], help_epilogue=help_epilogue)
    elif tokens and tokens[0] in instruments:
        name, plugin = tokens[0], instruments[tokens[0]]
        if not {"--help", "-h"} & set(tokens):
            check_tokens(plugin, tokens[1:])
        command = command_of(plugin)
        usage = usage_of(f"turpentine explain {name}", command, is_needed=True)
        app.command(command, name=name, help=help_of(plugin), help_epilogue=example_line(plugin), usage=usage)
    elif {"--help", "-h"} & set(tokens):
        for name, headline in HEADLINES.items():
            app.command(_nothing, name=name, help=headline)
        for plugin in instruments.values():
            app.command(_nothing, name=plugin.name, help=_headline(plugin))
    elif len(tokens) > 1 and not any(token.startswith("-") for token in tokens[:2]):
        find(tokens[0], "instrument")  # a tour has one prompt: the first of two is meant for a name, and is none
    else:
        check_name(tokens, [*instruments, *HEADLINES])
    return app


def resumes(name: str) -> bool:
    """Return whether `explain NAME` goes on where it was broken off; the tour, which takes any other word, does."""
    from turpentine.explain.instrument import takes

    return name not in plugins("instrument") or takes(find(name, "instrument").load(), "cache")


def _nothing() -> None:
    """Stand for an instrument in the list of all."""


def _headline(plugin: Plugin) -> str:
    """Return what the list says of an instrument; another package's fault must not take our own away."""
    try:
        return plugin.headline
    except TurpentineError as error:
        return str(error)
