"""Judges by name, as files and the command line ask for them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer
from turpentine.judges.base import Judge

# Imported when asked for: some bring large libraries.
_JUDGES: Mapping[str, str] = {
    "emoji": "turpentine.judges.emoji_judge:EmojiJudge",
    "picture statistics": "turpentine.judges.statistics:PictureStatistics",
    "classifier": "turpentine.judges.classifier:ImageClassifier",
    "nudenet": "turpentine.judges.nudenet:NudeNet",
    "clip": "turpentine.judges.clip:ClipScore",
    "zero-shot": "turpentine.judges.zero_shot:ZeroShot",
    "pixel change": "turpentine.judges.pixel_change:PixelChange",
    "features": "turpentine.judges.features:Features",
    "distance": "turpentine.judges.distance:Distance",
}


def names() -> tuple[str, ...]:
    """The names of all judges."""
    return tuple(_JUDGES)


def judge(name: str, **settings: Any) -> Judge:
    """The judge of this name, with settings in the place of its defaults.

    Raises UnknownName for a name or a setting that is not known, and offers the nearest; BadArgument for a setting that
    is not of its range; ModelNotFound for weights that are not here.
    """
    if name not in _JUDGES:
        raise UnknownName(f"No judge is called {name!r}: {offer(name, _JUDGES)}")
    module, _, attribute = _JUDGES[name].partition(":")
    cls = getattr(importlib.import_module(module), attribute)
    _check_settings(name, list(inspect.signature(cls).parameters), settings)
    try:
        made: Judge = cls(**settings)
    except TypeError as error:
        raise BadArgument(f"The judge {name} cannot be made of these settings: {error}.") from error
    return made


def _check_settings(name: str, known: list[str], settings: Mapping[str, Any]) -> None:
    for setting in settings:
        if setting not in known:
            raise UnknownName(f"The judge {name} has no setting {setting!r}: {offer(setting, known)}")
