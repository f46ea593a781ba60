"""What `erase` and `amplify` share: a method is run for concepts, what came of it is measured, told and reported."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from turpentine.cli.edit_summary import as_json, show_outcome
from turpentine.cli.flags import flags_of, with_flags
from turpentine.cli.help_text import with_help
from turpentine.cli.options import ModelChoice, parse_seeds, warn_of_unknown_words
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import say_json
from turpentine.concepts import Concept, Kind
from turpentine.core.atomic_files import safe_name
from turpentine.core.errors import EmptyConcept
from turpentine.core.plugins import find

if TYPE_CHECKING:
    from turpentine.bench import ErasureResult
    from turpentine.bench.metrics import Goal

DOING = {"erase": "Erasing", "amplify": "Amplifying"}


@with_help
@dataclass(frozen=True)
class RunChoice:
    """What is measured, and where it is kept.

    out: the folder for the edit, the results and the report; runs/CONCEPT-METHOD by default.
    seeds: of the pictures for each prompt before and after, such as 0-7,9.
    kind: what sort of thing it is; what the emoji world says, or object, by default.
    keep: another concept to measure as one that must not change; may be given several times.
    force: put this run in the place of another one in the folder.
    """

    out: Path | None = None
    seeds: str = "0-7"
    kind: Kind | None = None
    keep: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    force: Annotated[bool, Parameter(negative=(), show_default=False)] = False


def pursue(
    goal: Goal,
    concepts: Sequence[str],
    method: str,
    choice: RunChoice,
    source: ModelChoice,
    settings: Any,
    line: str,
    json: bool,
) -> None:
    """Do what a command line asks for, and tell what came of it. Raises EmptyConcept for no concept."""
    if not concepts:
        raise EmptyConcept(f"There is no concept to {goal}: name one, such as turpentine {goal} church.")
    wanted = [_concept(text, choice) for text in concepts]
    chosen = find(method, goal).defaults(source.model)
    folder = choice.out or Path("runs") / safe_name("-".join([*concepts, method]))
    result = _run(goal, source, with_flags(chosen, settings) if settings else chosen, wanted, folder, choice)
    with busy("Writing the report"):
        _report(result, line)
    if json:
        say_json(as_json(result))
    else:
        show_outcome(result, source.model)


def with_settings(command: Callable[..., None], default: str, tokens: Sequence[str]) -> Callable[..., None]:
    """The command with the settings of the method, and the defaults for the model, that the tokens ask for.

    default: the method where they name none.
    """
    name = _option(tokens, "--method", default)
    chosen = find(name, command.__name__).defaults(_option(tokens, "--model", ModelChoice.model))

    @wraps(command)
    def fitted(*args: Any, **kwargs: Any) -> None:
        command(*args, line=shlex.join(["turpentine", command.__name__, *tokens]), **kwargs)

    group = Group(f"Settings of {name}", sort_key=1)
    flags = Parameter(name="*", group=group)
    # None is where no setting is given; cyclopts checks defaults too once anything has imported pydantic.
    fitted.__annotations__ = {**command.__annotations__, "settings": Annotated[flags_of(chosen) | None, flags]}
    return fitted


def _option(tokens: Sequence[str], name: str, default: str) -> str:
    """The value of an option before the command line is parsed, which needs to know it."""
    for token, following in pairwise([*tokens, default]):
        if token == name:
            return following
        if token.startswith(f"{name}="):
            return token.removeprefix(f"{name}=")
    return default


def _concept(text: str, choice: RunChoice) -> Concept:
    from turpentine.bench import world_concept

    found = Concept(text, choice.kind) if choice.kind else world_concept(text)
    return replace(found, keep=choice.keep)


def _run(
    goal: Goal, source: ModelChoice, method: Any, concepts: Sequence[Concept], folder: Path, choice: RunChoice
) -> ErasureResult:
    from turpentine.bench import Protocol, run_erasure

    seeds = tuple(parse_seeds(choice.seeds))
    model = source.load()
    warn_of_unknown_words(model, [concept.text for concept in concepts])
    phases = {
        "erase": (DOING[goal], "rows"),
        "before": ("Drawing before", "pictures"),
        "after": ("Drawing after", "pictures"),
    }
    with Phases(phases) as progress:
        return run_erasure(
            model,
            method,
            concepts,
            folder,
            protocol=Protocol(seeds=seeds),
            goal=goal,
            force=choice.force,
            progress=progress,
        )


def _report(result: ErasureResult, line: str) -> None:
    from turpentine.report import write_report

    write_report(result, command=line)
