"""`turpentine erase`: a concept erased, what is gone and what else moved, and a report of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from turpentine.cli.meter import Phases, busy
from turpentine.cli.options import Flat, Json, ModelChoice, parse_seeds, warn_of_unknown_words
from turpentine.cli.outcome import as_json, show_outcome
from turpentine.cli.settings import flags_of, with_flags
from turpentine.cli.terminal import say_json
from turpentine.concepts import Concept, Kind
from turpentine.errors import EmptyConcept
from turpentine.files import safe_name
from turpentine.named import find_named

if TYPE_CHECKING:
    from turpentine.bench import ErasureResult

METHOD = "esd-x"
PHASES = {
    "erase": ("Erasing", "rows"),
    "before": ("Drawing before", "pictures"),
    "after": ("Drawing after", "pictures"),
}


def erase(
    *concepts: str,
    method: str = METHOD,
    out: Path | None = None,
    seeds: str = "0-7",
    kind: Kind | None = None,
    keep: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    force: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    settings: Annotated[Any, Parameter(parse=False)] = None,
    line: Annotated[str, Parameter(parse=False)] = "",
    json: Json = False,
) -> None:
    """Erase a concept from a model, and measure what is gone and what else moved.

    The run can be broken off at any time: the same command goes on from there.

    concepts: what to erase; several are erased in one edit.
    method: how; see turpentine methods. Its settings are flags too.
    out: the folder for the edit, the results and the report; runs/CONCEPT-METHOD by default.
    seeds: of the pictures for each prompt before and after, such as 0-7,9.
    kind: what sort of thing it is; what the emoji world says, or object, by default.
    keep: another concept to measure as one that must not change; may be given several times.
    force: put this run in the place of another one in the folder.
    json: print one JSON document.
    """
    wanted = [_concept(text, kind, keep) for text in concepts]
    if not wanted:
        raise EmptyConcept("There is no concept to erase: name one, such as turpentine erase church.")
    chosen = find_named(method).defaults(source.model)
    folder = out or Path("runs") / safe_name("-".join([*concepts, method]))
    ready = with_flags(chosen, settings) if settings else chosen
    result = _run(source, ready, wanted, folder, parse_seeds(seeds), force)
    with busy("Writing the report"):
        _report(result, line)
    if json:
        say_json(as_json(result))
    else:
        show_outcome(result, source.model)


def with_settings(tokens: Sequence[str]) -> Callable[..., None]:
    """The command with the settings of the method, and the defaults for the model, that the tokens ask for."""
    name = _option(tokens, "--method", METHOD)
    with busy("Starting"):  # methods bring torch with them
        chosen = find_named(name).defaults(_option(tokens, "--model", ModelChoice.model))

    @wraps(erase)
    def command(*args: Any, **kwargs: Any) -> None:
        erase(*args, line=shlex.join(["turpentine", "erase", *tokens]), **kwargs)

    group = Group(f"Settings of {name}", sort_key=1)
    flags = Parameter(name="*", group=group)
    # None is where no setting is given; cyclopts checks defaults too once anything has imported pydantic.
    command.__annotations__ = {**erase.__annotations__, "settings": Annotated[flags_of(chosen) | None, flags]}
    return command


def _option(tokens: Sequence[str], name: str, default: str) -> str:
    """The value of an option before the command line is parsed, which needs to know it."""
    for token, following in pairwise([*tokens, default]):
        if token == name:
            return following
        if token.startswith(f"{name}="):
            return token.removeprefix(f"{name}=")
    return default


def _concept(text: str, kind: Kind | None, keep: tuple[str, ...]) -> Concept:
    from turpentine.bench import world_concept

    found = Concept(text, kind) if kind else world_concept(text)
    return replace(found, keep=keep)


def _run(
    source: ModelChoice, method: Any, concepts: Sequence[Concept], folder: Path, seeds: Sequence[int], force: bool
) -> ErasureResult:
    from turpentine.bench import Protocol, run_erasure

    model = source.load()
    warn_of_unknown_words(model, [concept.text for concept in concepts])
    protocol = Protocol(seeds=tuple(seeds))
    with Phases(PHASES) as progress:
        return run_erasure(model, method, concepts, folder, protocol=protocol, force=force, progress=progress)


def _report(result: ErasureResult, line: str) -> None:
    from turpentine.report import write_report

    write_report(result, command=line)
