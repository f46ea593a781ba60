"""The record of how an edit was made: enough to make it again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from turpentine.concepts import Concept
from turpentine.core.errors import EditError, NotFinite

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
    """Return the versions of the libraries that decide a result's numbers, by name, Turpentine's first."""
    return dict(_library_versions())


@dataclass(frozen=True)
class Provenance:
    """How an edit or a guidance was made: by which method, with which settings, of which concepts, on which model.

    Args:
        method: Registered name of the method; "by hand" if there is none.
        settings: The method's fields: numbers, strings, booleans, and tuples of these.
        concepts: The concepts erased or amplified.
        seed: The method's seed, or None.
        base: Fingerprint of the unedited model. An edit without one fits every model that has its tensors.
        model: Name of the model, for people to read.
        measurements: What the method measured while it ran, by name. They are results: no setting, no input.
        revision: Of the method's code; "" for none.
        onto: Ids of the edits on the model while this one was made, in their order.
        versions: Version of each library, by name.

    Example:
        >>> provenance = Provenance("UCE", {"variant": "2025", "lamb": 0.5}, (Concept("church"),))
        >>> provenance.title
        'UCE (2025)'
        >>> Provenance.from_json(provenance.to_json()) == provenance
        True
    """

    method: str = "by hand"
    settings: Mapping[str, Any] = field(default_factory=dict)
    concepts: tuple[Concept, ...] = ()
    seed: int | None = None
    base: str = ""
    model: str = ""
    measurements: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""
    onto: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=library_versions)

    @property
    def title(self) -> str:
        """The method's name, followed by its setting `variant` in brackets if it has one."""
        variant = self.settings.get("variant")
        return f"{self.method} ({variant})" if variant else self.method

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dict that `json.dumps` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Provenance:
        """Rebuild a provenance from `to_json`'s dict, also after a round trip through JSON.

        Raises:
            TypeError: A key is unknown, or a value is none that its field may have.
            KeyError: The concepts are missing.
        """
        _check_types(record)
        concepts = tuple(Concept(**_with_tuples(concept)) for concept in record["concepts"])
        nested = {name: _with_tuples(record.get(name, {})) for name in ("settings", "measurements")}
        return cls(**{**_with_tuples(record), "concepts": concepts, **nested})


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "method": lambda value: isinstance(value, str),
    "settings": lambda value: isinstance(value, Mapping),
    "concepts": lambda value: isinstance(value, list | tuple) and all(map(_is_concept, value)),
    "seed": lambda value: value is None or type(value) is int,
    "base": lambda value: isinstance(value, str),
    "model": lambda value: isinstance(value, str),
    "measurements": lambda value: isinstance(value, Mapping),
    "revision": lambda value: isinstance(value, str),
    "onto": lambda value: _are_texts(value),
    "versions": lambda value: isinstance(value, Mapping) and _are_texts(tuple(value.values())),
}


def read_strength(value: Any) -> float:
    """Return the strength of a change as its record has it.

    Raises:
        EditError: It is no number.
        NotFinite: It is NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EditError(f"its strength is {_brief(value)} and no number.")
    if not math.isfinite(value):
        raise NotFinite(f"its strength is {value}.")
    return float(value)


def _check_types(record: Mapping[str, Any]) -> None:
    """Check a record that somebody else may have written; raises TypeError."""
    if not isinstance(record, Mapping):
        raise TypeError(f"{_brief(record)} as its provenance")
    for key, value in record.items():
        if key not in _TYPES or not _TYPES[key](value):
            raise TypeError(f"{_brief(value)} as {_brief(key)}")


def _is_concept(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    texts = [value.get("text"), value.get("kind", "")]
    several = [value.get("templates") or (), value.get("keep", ())]
    return _are_texts(texts) and all(map(_are_texts, several))


def _are_texts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)


def _brief(value: Any) -> str:
    return repr(value)[:_BRIEF]


_BRIEF = 60


def _with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """Turn lists back into the tuples that JSON has no type for."""
    return {key: _as_tuple(value) for key, value in record.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
