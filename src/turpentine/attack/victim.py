"""What is attacked: a model with changes, which are on it only while it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turpentine.core.errors import BadArgument
from turpentine.core.model_argument import check_is_model
from turpentine.core.random_state import preserved_rng
from turpentine.edits import Change, Edit
from turpentine.models import Model
from turpentine.models.identity import describe

if TYPE_CHECKING:
    from turpentine.attack.trial import Trial


@dataclass(frozen=True, eq=False)
class Victim:
    """A model with changes on it: an edited model, one with a guidance, or, without changes, the model as it is.

    An edited model and its original may be one model in memory, which has the changes on only while they are needed.

    Args:
        model: The model.
        changes: Edits and guidances, in order.

    Example:
        >>> import torch
        >>> from turpentine.edits import Edit
        >>> edited = Victim(model, (Edit({"unet.conv_in.bias": torch.ones(8)}),))
        >>> with edited.on() as changed:
        ...     len(changed.edits)
        1
        >>> len(model.edits)
        0
    """

    model: Model
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no model.

        Raises:
            BadArgument: It is a pipeline, a network or a path.
        """
        check_is_model(self.model)

    @contextmanager
    def on(self) -> Iterator[Model]:
        """Put the changes on for a `with` block, with the global random states as they were after it."""
        with preserved_rng(), ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(change.on(self.model))
            yield self.model

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Those of its changes that are of weights."""
        return tuple(change for change in self.changes if isinstance(change, Edit))

    def rows_a_step(self, trial: Trial) -> int:
        """Return the denoiser's rows for a picture in a step; 0 where a filter may draw nothing of a prompt.

        Args:
            trial: How pictures are drawn.
        """
        from turpentine.models.filters import filters_of
        from turpentine.models.sampler import rows_in_a_step

        with self.on() as model:
            is_filtered = bool(filters_of(model.guidance))
            return 0 if is_filtered else rows_in_a_step(model, trial.guidance_scale, trial.steps)

    def facts(self) -> dict[str, Any]:
        """Return all that decides its numbers, as JSON has it."""
        with self.on() as model:
            return describe(model)


def as_victim(given: Any) -> Victim:
    """Return what is attacked as a victim: a model as it is, or one already.

    Raises:
        BadArgument: It is neither.
    """
    if isinstance(given, Victim):
        return given
    if isinstance(given, Model):
        return Victim(given)
    if isinstance(given, Sequence) and given and isinstance(given[0], Model):
        return Victim(given[0], tuple(given[1:]))
    raise BadArgument(f"An attack is on a model, or on a model with edits, and this is {type(given).__name__}.")
