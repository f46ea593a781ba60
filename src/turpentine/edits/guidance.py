"""A change that lives at inference, as a value: no weight differs, but predictions are combined otherwise."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import EditError, NotFinite, TurpentineError, WrongBase
from turpentine.core.plugins import find_class
from turpentine.edits.provenance import Provenance
from turpentine.models import Blend, Combination, Guidance, Model

FORMAT = 1
KIND = "guidance"


@dataclass(frozen=True, eq=False)
class GuidanceChange:
    """What a guidance method gives: it goes on and off a model as an `Edit` does, and the model's sampler follows it.

    guidance: what combines the predictions. provenance: what made it, of what; its method makes the same guidance
    again from its settings and concepts, which is what a file of it holds.
    strength: s in ε = ε_w + s·(ε_guided − ε_w), where ε_w is the classifier-free prediction: 1 is the guidance as it
    was made, 0 changes no bit of any picture.

    Two are equal if method, settings, concepts, base and strength are. Raises NotFinite for a strength that is none.
    """

    guidance: Guidance
    provenance: Provenance
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise NotFinite(f"A guidance cannot have the strength {self.strength}: give a finite number.")

    @cached_property
    def id(self) -> str:
        """SHA-256, in hex, over method, settings, concepts, base and strength."""
        record = self.provenance.to_json()
        content = [float(self.strength), *(record[key] for key in ("method", "settings", "concepts", "base"))]
        return _digest(content)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, GuidanceChange) and self.id == other.id)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        concepts = ", ".join(concept.text for concept in self.provenance.concepts) or "no concept"
        return f"GuidanceChange({self.provenance.title} of {concepts}, strength {self.strength:g}, id {self.id[:12]})"

    def start(self, model: Model, rows: int, guidance_scale: float, steps: int) -> Combination:
        """As a `Guidance`: begin a run of `rows` pictures."""
        return Blend(((self.guidance, self.strength),)).start(model, rows, guidance_scale, steps)

    def scaled(self, factor: float) -> GuidanceChange:
        """The same change, `factor` times as strong."""
        return replace(self, strength=self.strength * factor)

    def apply(self, model: Model) -> GuidanceChange:
        """Put it on a model, beside the guidances that are on it already, and give it back.

        From then on every sampler of the model that is given no guidance follows it; several blend as `Blend` says.
        Raises WrongBase for another model than the one it was made for, EditError if it is on already.
        """
        on = guidances_of(model)
        if self in on:
            raise EditError(f"{self!r} is on this model already: scale it if it should be stronger.")
        self._check_base(model)
        model.guidance = _Together((*on, self))
        return self

    def remove(self, model: Model) -> None:
        """Take it off. Raises EditError if it is not on the model."""
        on = guidances_of(model)
        if self not in on:
            raise EditError(f"{self!r} is not on this model: there are {len(on)} others.")
        rest = tuple(one for one in on if one != self)
        model.guidance = _Together(rest) if rest else None

    @contextmanager
    def on(self, model: Model) -> Iterator[Model]:
        """The model with the guidance on it inside a `with` block; off again at the end, also after an error."""
        self.apply(model)
        try:
            yield model
        finally:
            if self in guidances_of(model):
                self.remove(model)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON with its own checksum, whole or not at all: its strength and provenance, no tensor."""
        record = {"strength": self.strength, "provenance": self.provenance.to_json()}
        content = {"kind": KIND, "format": FORMAT, "record": record, "sha256": _digest(record)}
        with write_whole(path) as aside:
            aside.write_text(json.dumps(content, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GuidanceChange:
        """Read what `save` wrote, and check it.

        Raises EditError for a missing, foreign, truncated or altered file, and for a method that is not known here.
        """
        record = _read(Path(path))
        try:
            strength, provenance = float(record["strength"]), Provenance.from_json(record["provenance"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EditError(f"{path} is no guidance that this Turpentine can read: its record lacks {error}.") from None
        return cls(_made_again(Path(path), provenance), provenance, strength)

    def _check_base(self, model: Model) -> None:
        made_for, base = self.provenance.base, model.fingerprint
        if made_for and made_for != base:
            raise WrongBase(
                f"{self!r} was made for {self.provenance.model or 'another model'} ({made_for[:12]}) "
                f"and this is {model.name} ({base[:12]}): make it anew for this one."
            )


@dataclass(frozen=True)
class _Together:
    """The guidances on one model, in the order in which they were put on."""

    changes: tuple[GuidanceChange, ...]

    def start(self, model: Model, rows: int, guidance_scale: float, steps: int) -> Combination:
        parts = tuple((one.guidance, one.strength) for one in self.changes)
        return Blend(parts).start(model, rows, guidance_scale, steps)


def guidances_of(model: Model) -> tuple[GuidanceChange, ...]:
    """The guidance changes that are on a model, in order. Raises EditError if its guidance was set by hand."""
    if model.guidance is None:
        return ()
    if not isinstance(model.guidance, _Together):
        raise EditError(f"The model follows {model.guidance!r}, which was set by hand: set its guidance to None first.")
    return model.guidance.changes


def _made_again(path: Path, provenance: Provenance) -> Guidance:
    """The guidance that a method makes of its settings and concepts."""
    plugin = find_class(provenance.method)
    method = plugin.load() if plugin else None
    if method is None or not hasattr(method, "guidance"):
        raise EditError(
            f"{path} was made by {provenance.method!r}, which is no guidance method here: "
            "install the package that it comes from."
        )
    try:
        guidance: Guidance = method(**provenance.settings).guidance(provenance.concepts)
    except (TypeError, TurpentineError) as error:
        raise EditError(f"{path} holds settings that {provenance.method} does not take: {error}") from error
    return guidance


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise EditError(f"There is no guidance at {path}: check the path.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind, version, record, seal = (content[key] for key in ("kind", "format", "record", "sha256"))
    except (ValueError, KeyError, TypeError) as error:
        raise EditError(f"{path} is not a Turpentine guidance, or is truncated: get a whole copy.") from error
    if kind != KIND or not isinstance(record, dict):
        raise EditError(f"{path} is a Turpentine {kind} and no guidance.")
    if version != FORMAT:
        raise EditError(f"{path} has format {version} and this Turpentine reads {FORMAT}: update it.")
    if seal != _digest(record):
        raise EditError(f"{path} is damaged or was altered: its record does not match its own checksum.")
    return record


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
