"""Where an edit came from: enough to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from turpentine.concepts import Concept

_LIBRARIES = ("turpentine", "torch", "diffusers", "transformers", "safetensors", "numpy", "polars")


@cache
def _library_versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, _version(name)) for name in _LIBRARIES)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def library_versions() -> dict[str, str]:
    """The versions of the libraries that decide a result's numbers, by name, Turpentine's first."""
    return dict(_library_versions())


@dataclass(frozen=True)
class Provenance:
    """What made an edit, of what, on what.

    method: the method's registered name; "by hand" for none.
    settings: the method's fields: numbers, texts, truth values and tuples of them.
    concepts: what was erased or amplified.
    seed: the method's seed, or None.
    base: fingerprint of the unedited model; an edit without one fits every model that has its tensors.
    model: the model's name, for people.
    found: what the method measured on its way, by name; no setting, and nothing that a method must be told.
    onto: ids of the edits that were on the model while this one was made, in their order.
    versions: library name to version.
    """

    method: str = "by hand"
    settings: Mapping[str, Any] = field(default_factory=dict)
    concepts: tuple[Concept, ...] = ()
    seed: int | None = None
    base: str = ""
    model: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    onto: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=library_versions)

    @property
    def title(self) -> str:
        """The method's name; where it has several published forms, which its setting `variant` tells, with the form."""
        form = self.settings.get("variant")
        return f"{self.method} ({form})" if form else self.method

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Provenance:
        """The inverse of `to_json`. Raises TypeError or KeyError where the record has another form."""
        concepts = tuple(Concept(**_with_tuples(concept)) for concept in record["concepts"])
        inside = {name: _with_tuples(record.get(name, {})) for name in ("settings", "found")}
        return cls(**{**_with_tuples(record), "concepts": concepts, **inside})


def _with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples: its lists were some."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
