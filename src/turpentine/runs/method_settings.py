"""Methods in types of JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields, is_dataclass
from typing import Any

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.plugins import METHODS, find_class, plugins
from turpentine.core.suggest import offer
from turpentine.models import Model, Sites


def facts_of(method: Any) -> dict[str, Any]:
    """Return all that a method says of what decides its edits: its class, revision, settings and files' content.

    In types of JSON; a value that JSON lacks is written by its parts, or by its repr.

    Args:
        method: The method, or its facts already.

    Raises:
        BadArgument: A file that a setting names cannot be read.
    """
    if isinstance(method, Mapping):
        return dict(method)
    names = [field.name for field in fields(method)] if is_dataclass(method) else []
    optional: dict[str, Any] = {
        "revision": getattr(method, "revision", ""),
        "inputs": getattr(method, "inputs", dict)(),
    }
    return {
        "name": type(method).__name__,
        "settings": {name: _plain(getattr(method, name)) for name in names},
        **{key: value for key, value in optional.items() if value},
    }


def method_of(facts: Any, model: Model) -> Any:
    """Return the method of some facts.

    Args:
        facts: From `facts_of`; a method is returned as it is.
        model: The model whose sites the settings may name.

    Raises:
        UnknownName: The method is not here.
        BadArgument: A setting cannot be read back from JSON; or the method's code, or a file that it reads, is another
            one now.
    """
    if not isinstance(facts, Mapping):
        return facts
    name, settings = facts["name"], facts["settings"]
    plugin = find_class(name)
    if plugin is None:
        classes = sorted({each.class_name for each in plugins(METHODS).values()})
        raise UnknownName(f"No method is called {name!r}: {offer(name, classes)}")
    method = plugin.load()(**{key: _revived(value, model) for key, value in settings.items()})
    now = facts_of(method)
    lost = [key for key, value in now["settings"].items() if value != settings.get(key)]
    if lost:
        raise BadArgument(f"The setting {lost[0]} of {name} cannot be written to a file: run with one worker.")
    for key, what in {"revision": "is of another revision", "inputs": "reads files with another content"}.items():
        if now.get(key) != facts.get(key):
            raise BadArgument(f"{name} {what} now than when the work was planned: choose another folder.")
    return method


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Sites):
        # How it prints is short: two selections may print alike.
        return {"sites": [site.name for site in value], "window": _plain(value.window and astuple(value.window))}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return repr(value)


def _revived(value: Any, model: Model) -> Any:
    if isinstance(value, Mapping) and set(value) == {"sites", "window"}:
        sites = model.sites.only(name=value["sites"])
        return sites.during(*value["window"]) if value["window"] else sites
    if isinstance(value, Mapping):
        return {key: _revived(item, model) for key, item in value.items()}
    # JSON has no tuples: its lists were some.
    return tuple(_revived(item, model) for item in value) if isinstance(value, list) else value
