"""`turpentine methods`: lists the methods, and the settings of each."""

from __future__ import annotations

from typing import Any, Literal, get_origin, get_type_hints

from turpentine.cli.help_text import descriptions, summary
from turpentine.cli.options import Json
from turpentine.cli.terminal import say, say_json, show_table
from turpentine.core.errors import BrokenPlugin
from turpentine.core.plugins import METHODS, Plugin, find, plugins
from turpentine.core.settings import field_types, range_of
from turpentine.erase.best import WHEN


def methods(name: str | None = None, /, *, model: str = "emoji", json: Json = False) -> None:
    """List the methods, or the settings of one.

    Args:
        name: A method, such as esd-x; all are listed without it.
        model: The model that the defaults are for, since a method may have its own for one.
        json: Print one JSON document.
    """
    if name is None:
        _list_all(json)
    else:
        _describe(find(name, METHODS), model, json)


def _list_all(json: bool) -> None:
    rows = [(each.name, each.kind, WHEN.get(each.name, ""), _summary(each)) for each in plugins(METHODS).values()]
    if json:
        say_json([{"name": name, "kind": kind, "when": when, "what": what} for name, kind, when, what in rows])
    else:
        show_table(("method", "kind", "when to use", "what it does"), rows)


def _summary(method: Plugin) -> str:
    """Return what a method does; another package's fault must not take the other methods away."""
    try:
        return method.summary
    except BrokenPlugin as error:
        return str(error)


def _describe(plugin: Plugin, model: str, json: bool) -> None:
    settings, doc = _settings(plugin, model), summary(plugin.load().__doc__)
    if json:
        when = WHEN.get(plugin.name, "")
        say_json({"name": plugin.name, "kind": plugin.kind, "when": when, "what": doc, "settings": settings})
        return
    say(doc + "\n")
    if plugin.name in WHEN:
        say(f"When to use: {WHEN[plugin.name]}.\n")
    show_table(("setting", "type", "default", "what it is"), [tuple(row.values()) for row in settings])


def _settings(plugin: Plugin, model: str) -> list[dict[str, Any]]:
    hints, types = field_types(plugin.load()), get_type_hints(plugin.load())
    texts = descriptions(plugin.load().__doc__, hints.keys())
    defaults = plugin.defaults(model)
    return [
        {
            "setting": name,
            "type": _type_name(types[name], hint),
            "default": getattr(defaults, name),
            "what": texts.get(name, ""),
        }
        for name, hint in hints.items()
    ]


def _type_name(plain: Any, hint: Any) -> str:
    """Return a type as `str | Sites`, without the modules' names, and its range: `int, 1 or more`."""
    name = plain.__name__ if isinstance(plain, type) and not hasattr(plain, "__args__") else _short(str(plain))
    return f"{name}, {range_of(hint)}" if range_of(hint) and get_origin(plain) is not Literal else name


def _short(name: str) -> str:
    import re

    return re.sub(r"\b[\w.]+\.(?=\w)", "", name)
