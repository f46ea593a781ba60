"""What every instrument is, and what its signature says that it needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_type_hints, runtime_checkable

if TYPE_CHECKING:
    from turpentine.explain.finding import Finding
    from turpentine.models import Model

PROGRESS_UNIT = "pictures"
"""What an instrument counts as it goes on, unless its class attribute `unit` says otherwise."""


@runtime_checkable
class Instrument(Protocol):
    """A measurement of a model: a frozen dataclass whose fields are its settings.

    It is registered by an entry point of the group `turpentine.instruments` under the name that the command line uses.
    Its call takes the model, what it looks at (`prompts` as a rule), `seeds` if it draws, and of these keywords those
    that it uses, which mean the same for every instrument:

    - `concept`: words of the prompts that the question is about, one text for all or one for each prompt;
    - `judge`: the judge of the pictures;
    - `label`: the judge's label for the concept, where it is not what the concept's own words name;
    - `size`: of the pictures, in pixels;
    - `cache`: the folder for finished parts, from which an interrupted run goes on, or None;
    - `progress`: a function that is called with units done and units in all.

    A keyword without a default is required. Optional class attributes: `unit`, what `progress` counts ("pictures");
    `example_flags`, what its example on the command line needs beside, such as "--model emoji-mmdit"; and `stops`, a
    classmethod that places the instrument in a tour (see `turpentine.explain.stops`).

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Brightness:
        ...     steps: int = 20
        ...
        ...     def __call__(self, model, prompts, seeds=range(8), *, cache=None, progress=None): ...
        >>> isinstance(Brightness(), Instrument), takes(Brightness, "cache"), takes(Brightness, "concept")
        (True, True, False)
    """

    def __call__(self, model: Model, *args: Any, **kwargs: Any) -> Finding:
        """Measure the model."""
        ...


@dataclass(frozen=True)
class FromText:
    """The annotation of an instrument's input that is not prompts: how a command line writes it.

    Args:
        read: Returns the input for the words of a command line; raises BadArgument for words that are none.
        words: Returns the words in the input that the model should know.
        help: One sentence on what to write.
        example: What to write, as an example.
    """

    read: Callable[[Sequence[str]], Any]
    words: Callable[[Any], Sequence[str]]
    help: str
    example: str


def parameters(instrument: type[Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of an instrument's call by name, without itself and the model."""
    _, _, *rest = inspect.signature(instrument.__call__).parameters.values()
    return {each.name: each for each in rest}


def takes(instrument: type[Any], name: str) -> bool:
    """Return whether an instrument's call has a parameter of this name."""
    return name in parameters(instrument)


def input_of(instrument: type[Any]) -> tuple[str, FromText | None]:
    """Return the name of what an instrument looks at, and how it is written if that is not as plain prompts."""
    name = next(iter(parameters(instrument)))
    hint = get_type_hints(instrument.__call__, include_extras=True).get(name)
    marks = getattr(hint, "__metadata__", ())
    return name, next((mark for mark in marks if isinstance(mark, FromText)), None)


def progress_unit(instrument: type[Any]) -> str:
    """Return what an instrument's progress counts, in the plural."""
    return str(getattr(instrument, "unit", PROGRESS_UNIT))
