"""Guidances at inference as values that go on and off a model: no weight differs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from turpentine.core.atomic_files import write_text_whole
from turpentine.core.errors import BadArgument, EditError, NewerFormat, NotFinite, TurpentineError, WrongBase
from turpentine.core.formatting import counted, file_size
from turpentine.core.hashing import digest
from turpentine.core.model_argument import check_is_model
from turpentine.core.plugins import find_class
from turpentine.core.safe_text import one_line
from turpentine.core.signals import Reverted
from turpentine.edits.changing import changing
from turpentine.edits.operators import Scalable, check_factor
from turpentine.edits.places import GUIDANCE_FILE
from turpentine.edits.provenance import Provenance, read_strength
from turpentine.edits.signature import Signature
from turpentine.edits.signed import Signed
from turpentine.models import Blend, Combination, Guidance, Model
from turpentine.models.filters import Filter
from turpentine.models.interface import TextToImage

FORMAT = 1
KIND = "guidance"
_LARGEST = 10_000_000
_CONTENT = frozenset(("kind", "format", "record", "sha256"))
_RECORD = frozenset(("strength", "provenance", "signature"))


@dataclass(frozen=True, eq=False)
class GuidanceChange(Scalable, Signed):
    """A guidance method's result: it goes on and off a model as an `Edit` does, and the model's sampler follows it.

    Two are equal if their method, settings, concepts, base and strength are.

    Args:
        guidance: How to combine the predictions of a step.
        provenance: How it was made. Its method makes the same guidance again from its settings and concepts, which is
            all that a file of it holds.
        strength: s in ε = ε_w + s·(ε_guided − ε_w), where ε_w is the classifier-free prediction. 1 is the guidance as
            made; 0 leaves every bit of every picture as it is.
        signature: Of all the above; see `sign`.

    Raises:
        NotFinite: The strength is NaN or infinite.
        BadArgument: It is a filter, and the strength neither 1 nor 0.

    Example:
        >>> change = NegativePrompt()(model, Concept("church"))
        >>> with change.on(model):
        ...     guidances_of(model) == (change,)
        True
        >>> change.scaled(0.5).strength
        0.5
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     change.save(f"{folder}/no-church.json")
        ...     GuidanceChange.load(f"{folder}/no-church.json") == change
        True
    """

    file_name: ClassVar[str] = GUIDANCE_FILE

    guidance: Guidance
    provenance: Provenance
    strength: float = 1.0
    signature: Signature | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise NotFinite(f"A guidance cannot have the strength {self.strength}: give a finite number.")
        if isinstance(self.guidance, Filter) and self.strength not in (0, 1):
            raise BadArgument(
                f"A filter lets things through or does not, and cannot have the strength {self.strength:g}: give 1, or "
                "0 for none."
            )

    @cached_property
    def id(self) -> str:
        """SHA-256, in hex, of method, settings, concepts, base and strength."""
        record = self.provenance.to_json()
        content = [float(self.strength), *(record[key] for key in ("method", "settings", "concepts", "base"))]
        return digest(content)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, GuidanceChange) and self.id == other.id)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        concepts = ", ".join(concept.text for concept in self.provenance.concepts) or "no concept"
        return f"GuidanceChange({self.provenance.title} of {concepts}, strength {self.strength:g}, id {self.id[:12]})"

    def facts(self) -> dict[str, object]:
        """Return what a notebook shows of it beside its title."""
        facts: dict[str, object] = {"strength": self.strength, "weights": "none: it acts while pictures are drawn"}
        return {**facts, "made for": self.provenance.model or "any model", "id": self.id[:12]}

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Itself as a filter, where it is one and is not of strength 0."""
        return (self.guidance,) if isinstance(self.guidance, Filter) and self.strength else ()

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        """Begin a run of `rows` pictures; this makes it a `Guidance`."""
        return Blend(((self.guidance, self.strength),)).start(model, rows, guidance_scale, steps)

    def scaled(self, factor: float) -> GuidanceChange:
        """Return the same guidance, `factor` times as strong; a signature is of one strength.

        Raises:
            BadArgument: The factor is no number.
            NotFinite: The strength would be NaN or infinite.
        """
        check_factor(factor)
        signature = self.signature if factor == 1 else None
        return replace(self, strength=self.strength * factor, signature=signature)

    @changing()
    def apply(self, model: Model) -> GuidanceChange:
        """Put it on a model, after the guidances already on it, and return it.

        From then on every sampler of the model that is given no guidance follows it; several blend as `Blend` says.

        Raises:
            WrongBase: It was made for another model.
            EditError: It is on the model already.
        """
        active = guidances_of(model)
        if self in active:
            raise EditError(f"{self!r} is on this model already: scale it if it should be stronger.")
        self._check_base(model)
        model.guidance = _ActiveGuidances((*active, self))
        return self

    @changing()
    def remove(self, model: Model) -> None:
        """Take it off the model.

        Raises:
            EditError: It is not on the model.
        """
        active = guidances_of(model)
        if self not in active:
            raise EditError(f"{self!r} is not on this model, which has {counted(len(active), 'guidance')} on it.")
        rest = tuple(change for change in active if change != self)
        model.guidance = _ActiveGuidances(rest) if rest else None

    def on(self, model: Model) -> AbstractContextManager[Model]:
        """Put it on the model for a `with` block; it comes off at the end, also after an error or Ctrl-C."""
        return Reverted(model, lambda: self.apply(model), lambda: self._discard(model))

    @changing()
    def _discard(self, model: Model) -> None:
        if self in guidances_of(model):
            self.remove(model)

    def signed_digest(self) -> str:
        """Return the SHA-256 of strength and provenance, as the file holds them."""
        return digest(["turpentine guidance", self._record()])

    def _record(self) -> dict[str, Any]:
        return {"strength": float(self.strength), "provenance": self.provenance.to_json()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write its strength and provenance as JSON with a checksum, whole or not at all."""
        record = self._record()
        if self.signature is not None:
            record["signature"] = self.signature.to_json()
        content = {"kind": KIND, "format": FORMAT, "record": record, "sha256": digest(record)}
        write_text_whole(path, json.dumps(content, indent=2))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GuidanceChange:
        """Read a file that `save` wrote, check it, and make the guidance again.

        Raises:
            EditError: The file is missing, foreign, truncated or altered, or its method is not installed.
        """
        record = _read(Path(path))
        unreadable = f"{one_line(str(path))} is no guidance that this Turpentine can read"
        try:
            strength, provenance = read_strength(record["strength"]), Provenance.from_json(record["provenance"])
            signature = Signature.from_json(record["signature"]) if "signature" in record else None
        except TurpentineError as error:
            raise type(error)(f"{unreadable}: {error}") from error
        except KeyError as error:
            raise EditError(f"{unreadable}: its record lacks {error}.") from None
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise EditError(f"{unreadable}: its record holds {one_line(str(error))}.") from None
        return cls(_rebuild(Path(path), provenance), provenance, strength, signature)

    def _check_base(self, model: Model) -> None:
        expected, base = self.provenance.base, model.fingerprint
        if expected and expected != base:
            raise WrongBase(
                f"{self!r} was made for {self.provenance.model or 'another model'} ({expected[:12]}) "
                f"and this is {model.name} ({base[:12]}): make it anew for this one."
            )


@dataclass(frozen=True)
class _ActiveGuidances:
    """The guidances on one model, in the order in which they were put on."""

    changes: tuple[GuidanceChange, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids, which `turpentine.models.identity.describe` reads."""
        return tuple(change.id for change in self.changes)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Those of them that let not everything through."""
        return tuple(one for change in self.changes for one in change.filters)

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        parts = tuple((change.guidance, change.strength) for change in self.changes)
        return Blend(parts).start(model, rows, guidance_scale, steps)


def guidances_of(model: Model) -> tuple[GuidanceChange, ...]:
    """Return the guidances on a model, in order.

    Raises:
        EditError: The model's guidance was set by hand.
    """
    check_is_model(model)
    if model.guidance is None:
        return ()
    if not isinstance(model.guidance, _ActiveGuidances):
        raise EditError(f"The model follows {model.guidance!r}, which was set by hand: set its guidance to None first.")
    return model.guidance.changes


def no_edit(path: Path) -> str:
    """Return why a file of JSON holds no edit of weights: it is a guidance's, or somebody else's."""
    try:
        _read(path)
    except TurpentineError as error:
        return str(error)
    return f"{one_line(str(path))} is a guidance and changes no weight: read it by turpentine.edits.load_change."


def _rebuild(path: Path, provenance: Provenance) -> Guidance:
    """Make the guidance from the method, settings and concepts of its provenance."""
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
    if path.stat().st_size > _LARGEST:
        raise EditError(f"{one_line(str(path))} is no Turpentine guidance: none is larger than {file_size(_LARGEST)}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind, version, record, checksum = (content[key] for key in ("kind", "format", "record", "sha256"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EditError(
            f"{one_line(str(path))} is JSON, but not of a Turpentine guidance, or is truncated: get a whole copy."
        ) from error
    if kind != KIND or not isinstance(record, dict):
        raise EditError(f"{one_line(str(path))} is a Turpentine {one_line(str(kind))} and no guidance.")
    if version != FORMAT:
        raise NewerFormat(f"{path} has format {version} and this Turpentine reads {FORMAT}: update it.")
    if checksum != digest(record):
        raise EditError(f"{path} is damaged or was altered: its record does not match its own checksum.")
    for key in sorted((content.keys() - _CONTENT) | (record.keys() - _RECORD)):
        raise EditError(f"{one_line(str(path))} was altered: it holds {one_line(key)!r}, which no guidance has.")
    return record
