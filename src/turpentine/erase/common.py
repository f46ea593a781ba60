"""Shared by all methods: defaults by model size, concepts as a tuple, and the provenance of a result."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeVar

from turpentine.concepts import Concept, Concepts
from turpentine.core.errors import EmptyConcept
from turpentine.core.settings import Settings
from turpentine.edits import Provenance
from turpentine.models import Sites, Window, is_small, pipeline_class
from turpentine.tasks.erasure_cases import concepts_of

if TYPE_CHECKING:
    from turpentine.core.parts import Parts, Tensors
    from turpentine.models import Model

Method = TypeVar("Method", bound="Sized")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Per = Literal["row", "matrix", "published"]
"""How a share is counted: of each row, of the whole matrix, or of each row and rounded down, as CAD's code does."""


Score = Literal["attribution", "snip", "taylor", "magnitude", "random"]
"""What decides which weights are zeroed; see `CAD`."""

WITHOUT_GRADIENTS: tuple[Score, ...] = ("magnitude", "random")
"""The scores that look at no picture."""

Loss = Literal["output", "eps"]
"""What a loss compares: what the network itself predicts, ε or v, as public code does; or ε in every family."""


def torch_mode(mode: str, *args: Any) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function with one of torch's modes, such as "no_grad", importing torch when it is called.

    Methods are imported for their settings alone, too: a command's help does not wait for torch.

    Args:
        mode: The name of a context manager of torch.
        args: What the context manager takes.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def called(*positional: Arguments.args, **named: Arguments.kwargs) -> Result:
            import torch

            with getattr(torch, mode)(*args):
                return function(*positional, **named)

        return called

    return decorate


class Revised(Settings):
    """Settings of a method that says which revision of its code makes its changes.

    Attributes:
        revision: In the key of whatever the method makes or has begun. Raise a method's own with any change, in its
            file or in what it shares with others, that could give another edit from the same settings.
    """

    revision: ClassVar[str] = "1"

    def inputs(self) -> dict[str, str]:
        """Return the SHA-256 of each file that a setting names, by its path: its content decides the edit too.

        Raises:
            BadArgument: A file cannot be read.
        """
        return {}


class Sized(Revised):
    """A method whose defaults are for Stable Diffusion, with others for models as small as the embedded one.

    Attributes:
        small_world: Fields that differ for small models, with their values there.
        small_world_by: More of them, by the value that another field is given.
        published_by: Fields that public code sets otherwise for a full-size model of another architecture than Stable
            Diffusion's, by diffusers' class of its pipeline.
    """

    small_world: ClassVar[Mapping[str, Any]] = {}
    small_world_by: ClassVar[Mapping[str, Mapping[Any, Mapping[str, Any]]]] = {}
    published_by: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        """Check the fields, and what `window` and `templates` hold where there are such.

        Raises:
            BadArgument: A field is out of range, or a template does not hold `{}` once.
            BadWindow: The window is no part of the schedule.
        """
        super().__post_init__()
        if hasattr(self, "window"):
            Window(*self.window)
        if getattr(self, "templates", None):
            Concept("concept", templates=self.templates)  # type: ignore[attr-defined]

    @classmethod
    def preset(cls: type[Method], model: Model | str, **overrides: Any) -> Method:
        """Return the method with the settings that suit a model: `small_world`, or what is published for such a one.

        Args:
            model: The model, or its name for `load`; see `turpentine.models.is_small`.
            overrides: Fields to set otherwise.

        Example:
            >>> UCE.preset(model, lamb=1.0).lamb
            1.0
        """
        return cls(**{**(cls._small(overrides) if is_small(model) else cls._published(model, overrides)), **overrides})

    @classmethod
    def _published(cls, model: Model | str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return cls.published_by.get(pipeline_class(model), {}) if cls.published_by else {}

    @classmethod
    def _small(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        small = dict(cls.small_world)
        for name, by_value in cls.small_world_by.items():
            value = given.get(name)
            small |= by_value.get(value, {}) if isinstance(value, str) else {}
        return small


def as_concepts(concept: Concepts, model: Model | None = None) -> tuple[Concept, ...]:
    """Return one concept or several as a tuple.

    Args:
        concept: A concept, or a sequence of them; a text is the concept that it names.
        model: A model that must have a token for each; None if that is checked elsewhere.

    Raises:
        EmptyConcept: There is no concept, or the model has no token for one.
    """
    concepts = concepts_of(concept)
    if not concepts:
        raise EmptyConcept("There is no concept: give one at least.")
    if model is not None:
        for each in concepts:
            model.text.check_words(each.text)
    return concepts


def provenance_of(
    method: Any,
    model: Model,
    concepts: tuple[Concept, ...],
    measurements: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Provenance:
    """Return the provenance of what a method makes of a model as it is now.

    Args:
        method: The method's dataclass: its fields are the settings, its `seed`, if it has one, the seed.
        model: The model, with the changes on it.
        concepts: The concepts erased or amplified.
        measurements: What the method measured while it ran.
        settings: Values to record in the place of the fields of their names.
    """
    from turpentine.edits import stack_of

    own_fields = {field.name: getattr(method, field.name) for field in fields(method)}
    return Provenance(
        method=type(method).__name__,
        settings={name: site_names(value) for name, value in {**own_fields, **settings}.items()},
        concepts=concepts,
        revision=getattr(method, "revision", ""),
        measurements=measurements or {},
        seed=getattr(method, "seed", None),
        base=model.fingerprint,
        model=model.name,
        onto=stack_of(model).ids,
    )


def checkpoint_of(
    folder: str | os.PathLike[str] | None, model: Model, provenance: Provenance, **more: Any
) -> Parts[Tensors]:
    """Return the parts of a method's run, from which the same run goes on.

    Args:
        folder: Where to store them; None stores nothing.
        model: The model, with the changes that are on it now.
        provenance: Of the edit in the making: its method, with its revision, settings and concepts decide the numbers.
        more: JSON values that decide the numbers too.
    """
    from turpentine.core.parts import Parts
    from turpentine.models.identity import describe

    record = provenance.to_json()
    work = {key: record[key] for key in ("method", "revision", "settings", "concepts")}
    return Parts(folder, [describe(model), work, more] if folder is not None else None)


def site_names(value: Any) -> Any:
    """Return the names of sites; any other setting as it is."""
    return tuple(site.name for site in value) if isinstance(value, Sites) else value


def collate(measurements: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return the measurements of several concepts by name, with a value for each concept.

    Example:
        >>> collate([{"objective": 0.5}, {"objective": 0.7}])
        {'objective': (0.5, 0.7)}
    """
    return {name: tuple(each[name] for each in measurements) for name in measurements[0]}
