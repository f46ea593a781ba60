"""What every method needs: its concepts in a row, where its edit came from, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeVar

from turpentine.concepts import Concept
from turpentine.core.errors import EmptyConcept
from turpentine.core.progress import Progress
from turpentine.core.settings import Settings
from turpentine.edits import Provenance
from turpentine.models import Sites, is_small

if TYPE_CHECKING:
    from turpentine.models import Model

Method = TypeVar("Method", bound="Sized")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Per = Literal["row", "matrix", "published"]
"""How a share is counted: of each row, of the whole matrix, or of each row and rounded down, as CAD's code does."""


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


class Sized(Settings):
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
    from turpentine.edits import stack_of

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
