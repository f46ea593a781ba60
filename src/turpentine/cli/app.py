"""The command `turpentine`, and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from cyclopts import App, Parameter

import turpentine
from turpentine.cli import error_sentences as faults
from turpentine.cli import terminal
from turpentine.cli.amplify import amplify
from turpentine.cli.apply import apply
from turpentine.cli.attack import attack, with_attack
from turpentine.cli.audit import audit
from turpentine.cli.bench import bench
from turpentine.cli.doctor import doctor
from turpentine.cli.edit_command import with_settings
from turpentine.cli.erase import erase
from turpentine.cli.explain import explain_app, resumes
from turpentine.cli.flags import with_line
from turpentine.cli.generate import generate, with_artefact
from turpentine.cli.help_text import example_of, summary, usage_of, with_help
from turpentine.cli.info import info
from turpentine.cli.judge import judge
from turpentine.cli.methods import methods
from turpentine.cli.sign import sign, verify
from turpentine.cli.studio import studio
from turpentine.cli.study import study_app
from turpentine.cli.world import world
from turpentine.core.signals import sigterm_interrupts
from turpentine.core.whole_imports import imported_whole

COMMANDS: tuple[Callable[..., int | None], ...] = (
    erase,
    amplify,
    attack,
    audit,
    bench,
    generate,
    judge,
    info,
    apply,
    sign,
    verify,
    methods,
    studio,
    world,
    doctor,
)

# What these are depends on the line that they are called by.
_FITTED: Mapping[Callable[..., int | None], Callable[[Sequence[str]], Callable[..., int | None]]] = {
    erase: partial(with_settings, erase),
    amplify: partial(with_settings, amplify),
    attack: partial(with_attack, attack),
    audit: partial(with_line, audit),
    bench: partial(with_line, bench),
    generate: partial(with_artefact, generate),
}
# Commands of commands, made of what follows their name on the line, or of nothing where it names none.
_APPS: Mapping[str, Callable[[Sequence[str] | None], App]] = {"explain": explain_app, "study": lambda _: study_app()}
# What is done is kept by these, and not done again.
_RESUMABLE = {"erase", "amplify", "attack", "audit", "bench", "generate", "studio", "study"}


def main(tokens: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process.

    The exit code is 0 for success, 1 for a run with pictures that failed, 2 for a fault that the user can put right,
    and 128 plus the signal's number where one ended it: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        tokens: The command line without the program's name; by default the process's own.
    """
    sys.exit(run(sys.argv[1:] if tokens is None else tokens))


def run(tokens: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    terminal.prepare()
    tokens = list(tokens)
    with sigterm_interrupts() as interrupted_by, imported_whole("torch"):
        try:
            code = build(tokens)(tokens, exit_on_error=False, print_error=False, result_action="return_value")
            sys.stdout.flush()
        except BrokenPipeError:
            terminal.close_pipe()
            return faults.PIPE_CLOSED
        except KeyboardInterrupt:
            terminal.complain(_interrupted(tokens), as_json="--json" in tokens)
            return faults.SIGNALLED + interrupted_by()
        except Exception as error:
            terminal.complain(faults.sentence(error), as_json="--json" in tokens)
            return faults.REFUSED
        return code or 0


def build(tokens: Sequence[str]) -> App:
    """Build the app with the command that a line names, or with all where it names none.

    Args:
        tokens: The command line, since the flags of `erase`, `amplify` and `attack` depend on what they name.
    """
    app = App(
        name="turpentine",
        help=summary(turpentine.__doc__).split("\n\n")[0],
        version=lambda: turpentine.__version__,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(negative_iterable=()),
    )
    named = tokens[0] if tokens and tokens[0] in {*(each.__name__ for each in COMMANDS), *_APPS} else None
    for command in COMMANDS:
        if named not in (None, command.__name__):
            continue
        fitted = _FITTED.get(command) if named else None
        ready = fitted(tokens[1:]) if fitted else command
        app.command(
            with_help(ready),
            name=command.__name__,
            help=summary(command.__doc__),
            help_epilogue=f"Example: {example_of(command.__doc__)}",
            usage=usage_of(f"turpentine {command.__name__}", ready),
        )
    for name, make in _APPS.items():
        if named in (None, name):
            app.command(make(tokens[1:] if named else None))
    return app


def _interrupted(tokens: Sequence[str]) -> str:
    again = terminal.plain(shlex.join(["turpentine", *tokens]))
    is_explained = tokens[:1] == ["explain"] and resumes(next(iter(tokens[1:]), ""))
    if is_explained or (tokens and tokens[0] in _RESUMABLE):
        return f"Interrupted. The same command goes on from here: {again}"
    return "Interrupted. Nothing was written; the same command starts again."
