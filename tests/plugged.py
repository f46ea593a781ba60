"""Plug-ins of other packages, for the length of a test."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from turpentine.core import plugins


def plug(monkeypatch: pytest.MonkeyPatch, kind: str, /, **targets: Any) -> None:
    """List plug-ins beside those that are installed.

    Args:
        kind: Of all of them.
        targets: By name, classes or "module:Class"; an underscore stands for a hyphen.
    """
    points = [EntryPoint(name.replace("_", "-"), _target(each), plugins.GROUPS[kind]) for name, each in targets.items()]
    before = plugins.entry_points
    monkeypatch.setattr(
        plugins,
        "entry_points",
        lambda group: [*before(group=group), *(point for point in points if point.group == group)],
    )
    renew(monkeypatch)


def renew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the entry points anew, and once more after the test."""
    monkeypatch.setattr(plugins, "_registered", plugins.cache(plugins._registered.__wrapped__))


def _target(target: Any) -> str:
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"
