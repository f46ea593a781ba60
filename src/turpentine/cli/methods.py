"""`turpentine methods`: what methods there are, and the settings of each."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

from turpentine.cli.help_text import descriptions, summary
from turpentine.cli.options import Json
from turpentine.cli.terminal import say, say_json, show_table
from turpentine.core.named import NamedMethod, find_named, named_methods


def methods(name: str | None = None, /, *, model: str = "emoji", json: Json = False) -> None:
    """List the methods, or the settings of one.

    name: a method, such as esd-x; all are listed without it.
    model: the model that the defaults are for, since a method may have its own for one.
    """
    if name is None:
        _list_all(json)
    else:
        _describe(find_named(name), model, json)


def _list_all(json: bool) -> None:
    known = [(each.name, each.what) for each in named_methods().values()]
    if json:
        say_json([{"name": name, "what": what} for name, what in known])
    else:
        show_table(("method", "what it does"), known)


def _describe(named: NamedMethod, model: str, json: bool) -> None:
    settings = _settings(named, model)
    if json:
        say_json({"name": named.name, "what": summary(named.method.__doc__), "settings": settings})
        return
    say(summary(named.method.__doc__) + "\n")
    show_table(("setting", "type", "default", "what it is"), [tuple(row.values()) for row in settings])


def _settings(named: NamedMethod, model: str) -> list[dict[str, Any]]:
    hints = get_type_hints(named.method)
    texts = descriptions(named.method.__doc__, hints.keys())
    defaults = named.defaults(model)
    return [
        {
            "setting": each.name,
            "type": _type_name(hints[each.name]),
            "default": getattr(defaults, each.name),
            "what": texts.get(each.name, ""),
        }
        for each in dataclasses.fields(named.method)
    ]


def _type_name(hint: Any) -> str:
    """`str | Sites`, without the modules' names."""
    return hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else _short(str(hint))


def _short(name: str) -> str:
    import re

    return re.sub(r"\b[\w.]+\.(?=\w)", "", name)
