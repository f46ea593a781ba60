"""Makes judges by name, as files and the command line write them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.plugins import find, plugins
from turpentine.core.settings import as_typed, field_types, speakable
from turpentine.core.suggest import offer
from turpentine.emoji import WORLD
from turpentine.judges.base import Judge


def names() -> tuple[str, ...]:
    """The names of all judges, our own and those of other packages."""
    return tuple(plugins("judge"))


def judge(name: str, **settings: Any) -> Judge:
    """Make the judge of a name, with settings in the place of its defaults.

    Example:
        >>> judge("picture statistics").columns["broken"].is_number
        False

    Args:
        name: Such as "clip", see `names`; or the folder or hub id of a CLIP model or a classifier of pictures, such as
            "openai/clip-vit-large-patch14".
        settings: Fields of its class.

    Raises:
        UnknownName: There is no judge of this name, or no such setting; the nearest are offered.
        BadArgument: A setting is of another type, or out of range.
        ModelNotFound: Weights that it needs are not here.
        BrokenPlugin: The package that it is of cannot be imported.
    """
    if is_network(name):
        from turpentine.judges.hub_network import judge_of

        kind = judge_of(name, settings.get("commit"))
        # The classes that a classifier's pictures are asked for are its own, not those of our default.
        own = {"labels": ()} if kind == "classifier" else {}
        return judge(kind, **{"model": name, **own, **settings})
    cls = find(name, "judge").load()
    _check_settings(name, inspect.signature(cls).parameters, settings)
    hints = {key: speakable(hint) for key, hint in field_types(cls).items()} if is_dataclass(cls) else {}
    try:
        instance: Judge = cls(**{key: _typed(name, key, value, hints.get(key)) for key, value in settings.items()})
    except TypeError as error:
        raise BadArgument(f"The judge {name} cannot be made of these settings: {error}.") from error
    return instance


def settings_for(
    name: str, model: str, settings: Mapping[str, Any] | None = None, *, clip_model: str | None = None
) -> Mapping[str, Any]:
    """Return the settings of a judge that suit the pictures of a model, where its defaults do not.

    Example:
        >>> settings_for("clip", "emoji"), settings_for("clip", "CompVis/stable-diffusion-v1-4")
        ({}, {'model': 'openai/clip-vit-base-patch32'})

    Args:
        name: Of the judge, which says so by its class attribute `full_size`.
        model: The name that `turpentine.load` takes; defaults are for the embedded one, "emoji".
        settings: Those that the user gives: one that says which network to ask settles it.
        clip_model: The CLIP model to ask, a folder or hub id; by default the one that suits.

    Raises:
        UnknownName: No judge is called so.
        BadArgument: A CLIP model is given for a judge that asks none, or twice.
    """
    settings = settings or {}
    own = {} if is_network(name) else getattr(find(name, "judge").load(), "full_size", {})
    if clip_model is not None:
        if not own or own.keys() & settings.keys():
            raise BadArgument(f"The judge {name} asks another network, or none: leave out --clip-model {clip_model}.")
        return {**own, "model": clip_model, **settings}
    suits = model == WORLD or own.keys() & settings.keys()
    return settings if suits else {**own, **settings}


def is_network(name: str) -> bool:
    """Return whether a name is not a judge's own but says where a network is: a folder, or a hub id.

    Example:
        >>> is_network("clip"), is_network("openai/clip-vit-large-patch14")
        (False, True)
    """
    return name not in plugins("judge") and ("/" in name or Path(name).expanduser().is_dir())


def _typed(name: str, key: str, value: Any, hint: Any) -> Any:
    """Return a setting in its type, where that can be written in a file."""
    try:
        return value if hint is None else as_typed(value, hint)
    except BadArgument as error:
        raise BadArgument(f"The setting {key} of {name} cannot be {value!r}: {error}.") from error


def _check_settings(name: str, fields: Mapping[str, inspect.Parameter], settings: Mapping[str, Any]) -> None:
    for setting in settings:
        if setting not in fields:
            raise UnknownName(f"The judge {name} has no setting {setting!r}: {offer(setting, fields)}")
    missing = [key for key, field in fields.items() if field.default is field.empty and key not in settings]
    if missing:
        raise BadArgument(
            f"The judge {name} needs {' and '.join(missing)}: write {name}: {{{missing[0]}: [church, dog]}}."
        )
