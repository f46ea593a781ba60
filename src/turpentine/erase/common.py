"""What every method needs: its concepts in a row, where its edit came from, and how far it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from turpentine.concepts import Concept
from turpentine.core.errors import EmptyConcept
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Progress
from turpentine.edits import Provenance, stack_of
from turpentine.models import Model, Sites, is_small
from turpentine.models.identity import describe

Method = TypeVar("Method", bound="Sized")


class Sized:
    """A method whose defaults are for Stable Diffusion, with others for models of the embedded one's size.

    small_world: the fields that differ there.
    """

    small_world: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def preset(cls: type[Method], model: Model | str, **changes: Any) -> Method:
        """The settings that suit a model's size, with changes: `small_world`'s for a small one, else the published.

        model: the model, or what `load` is told; see `turpentine.models.is_small`.
        """
        return cls(**{**(cls.small_world if is_small(model) else {}), **changes})


def as_concepts(concept: Concept | Sequence[Concept], model: Model | None = None) -> tuple[Concept, ...]:
    """One concept or several as a tuple.

    model: the one that must have a token for each, where nothing else looks for it in a prompt.
    Raises EmptyConcept for none, and for a text that the model has no token for.
    """
    concepts = (concept,) if isinstance(concept, Concept) else tuple(concept)
    if not concepts:
        raise EmptyConcept("There is no concept: give one at least.")
    if model is not None:
        for one in concepts:
            model.check_spoken(one.text)
    return concepts


def provenance_of(
    method: Any, model: Model, concepts: tuple[Concept, ...], found: Mapping[str, Any] | None = None, **settings: Any
) -> Provenance:
    """Where an edit comes from that a method makes of a model as it is now.

    method: a method's dataclass; its fields are the settings, its `seed`, if it has one, the seed.
    found: what it measured on its way. settings: these stand in the place of the fields of their names.
    """
    fields_of_it = {field.name: getattr(method, field.name) for field in fields(method)}
    return Provenance(
        method=type(method).__name__,
        settings={name: plain_sites(value) for name, value in {**fields_of_it, **settings}.items()},
        concepts=concepts,
        found=found or {},
        seed=getattr(method, "seed", None),
        base=model.fingerprint,
        model=model.name,
        onto=stack_of(model).ids,
    )


def checkpoint_of(
    folder: str | os.PathLike[str] | None, model: Model, provenance: Provenance, **more: Any
) -> Parts[Tensors]:
    """Return the parts of a run of a method, from which the same run goes on.

    Args:
        folder: Where; with None nothing is stored.
        model: With the changes that are on it now.
        provenance: Of the edit that the run makes: its method, settings and concepts decide the numbers.
        more: What decides them besides, as JSON has it.
    """
    record = provenance.to_json()
    work = {key: record[key] for key in ("method", "settings", "concepts")}
    return Parts(folder, [describe(model), work, more] if folder is not None else None)


def plain_sites(value: Any) -> Any:
    """Sites by name; any other setting as it is."""
    return tuple(site.name for site in value) if isinstance(value, Sites) else value


def side_by_side(found: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """What was found of each of several concepts: by name, a value for each."""
    return {name: tuple(each[name] for each in found) for name in found[0]}


@dataclass
class Tally:
    """Tells progress of units of work as they are done.

    total: units in all.
    """

    progress: Progress | None
    total: int
    done: int = 0

    def add(self, units: int = 1) -> None:
        """So many more are done."""
        self.done += units
        if self.progress:
            self.progress(self.done, self.total)
