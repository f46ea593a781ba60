"""The argument `model` of public calls: what people give in its place gets a sentence that says how to make one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from turpentine.core.errors import BadArgument

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def check_is_model(value: Any) -> None:
    """Refuse a path, a plain value, a diffusers pipeline or one of its networks in the place of a model.

    Raises:
        BadArgument: It is one of these; the message says what to write.

    Example:
        >>> check_is_model("emoji")
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: 'emoji' is a text and no model: load it first, turpentine.load('emoji').
        >>> check_is_model(None)
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: None is no model: give one that turpentine.load() returns.
    """
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        raise BadArgument(f"{text!r} is a text and no model: load it first, turpentine.load({text!r}).")
    if hasattr(value, "family"):  # which all models have, and no pipeline or network
        return
    kind = type(value).__name__
    if value is None or isinstance(value, int | float | list | tuple | dict):
        raise BadArgument(f"{value!r} is no model: give one that turpentine.load() returns.")
    if hasattr(value, "components"):
        raise BadArgument(f"A {kind} is a pipeline and no model yet: give turpentine.Model(pipeline).")
    if hasattr(value, "state_dict"):
        raise BadArgument(f"A {kind} is one network and no model: give turpentine.Model(pipeline) of its pipeline.")


def takes_model(call: Callable[..., Any]) -> bool:
    """Return whether a function's first argument after itself is a model."""
    return list(inspect.signature(call).parameters)[1:2] == ["model"]


def checks_model(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a method whose first argument is a model: what is none is refused in a sentence."""

    @wraps(call)
    def called(*positional: Arguments.args, **named: Arguments.kwargs) -> Result:
        check_is_model(positional[1] if len(positional) > 1 else named.get("model"))
        return call(*positional, **named)

    return called
