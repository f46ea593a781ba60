"""`turpentine methods`: lists the methods, and the settings of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from turpentine.cli.help_text import descriptions, summary
from turpentine.cli.options import Json
from turpentine.cli.terminal import plain, say_json, say_prose, show_table
from turpentine.core.errors import BrokenPlugin
from turpentine.core.plugins import METHODS, Plugin, find, plugins
from turpentine.core.settings import field_types, range_of
from turpentine.emoji import WORLD
from turpentine.erase.best import WHEN
from turpentine.models import is_small


def methods(name: str | None = None, /, *, model: str = WORLD, json: Json = False) -> None:
    """List the methods, or the settings of one.

    Args:
        name: A method, such as esd-x; all are listed without it.
        model: The model that the defaults are for, since a method may have its own for one.
        json: Print one JSON document, also of an error.

    Example:
        turpentine methods uce
    """
    if model != WORLD:
        _check_model(model)
    if name is None:
        _list_all(json)
    else:
        _describe(find(name, METHODS), model, json)


def _check_model(model: str) -> None:
    """Check that a model is where its name says; whether the hub has it is not asked for its defaults."""
    from turpentine.models.loading.hub import is_hub_id
    from turpentine.models.loading.source import check_source

    if not is_hub_id(model):
        check_source(model)


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
    headline, *details = doc.split("\n\n")
    say_prose(f"{headline}\n")
    if plugin.name in WHEN:
        say_prose(f"When to use: {WHEN[plugin.name]}.\n")
    show_table(
        ("setting", "what to give", "default", "what it is"),
        [(row["setting"], row["type"], _default(row["default"]), row["what"]) for row in settings],
    )
    size = "a small model" if is_small(model) else "a model of full size"
    say_prose(f"\nThe defaults are those for {size}, as {plain(model)} is taken to be.")
    for paragraph in details:
        say_prose(f"\n{paragraph}")


def _settings(plugin: Plugin, model: str) -> list[dict[str, Any]]:
    hints = field_types(plugin.load())
    texts = descriptions(plugin.load().__doc__, hints.keys())
    defaults = plugin.defaults(model)
    return [
        {
            "setting": name,
            "type": ", ".join(filter(None, (_kind_of(hint), _range(hint)))),
            "default": getattr(defaults, name),
            "what": texts.get(name, ""),
        }
        for name, hint in hints.items()
    ]


_KINDS = {bool: "yes or no", int: "whole number", float: "number", str: "text", Path: "file"}


def _kind_of(hint: Any) -> str:
    """Return what a setting takes in words, such as "whole number"; a selection of sites has no words of its own."""
    if get_origin(hint) is Annotated:
        return _kind_of(get_args(hint)[0])
    if get_origin(hint) is tuple:
        return f"{_kind_of(get_args(hint)[0])}s"
    if get_origin(hint) is Literal or hint in _KINDS:
        return _KINDS.get(hint, "")
    kinds = dict.fromkeys(filter(None, map(_kind_of, get_args(hint))))
    return " or ".join(kind for kind in kinds if kind[:-1] not in kinds)


def _range(hint: Any) -> str:
    allowed = range_of(hint).removeprefix("a finite number").removeprefix(", ").removesuffix(", or none")
    return allowed.removeprefix("text ")


def _default(value: Any) -> Any:
    """Return a default as it is written on a command line; nothing for none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == ():
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
