"""What import and LoRA need of a model: no edit on it."""

from __future__ import annotations

from turpentine.core.errors import EditError
from turpentine.edits.edit import stack_of
from turpentine.models import Model


def refuse_edited(model: Model) -> None:
    """Check that no edit is on the model, so that its weights are its own.

    Raises:
        EditError: There is one.
    """
    if len(stack_of(model)):
        raise EditError(f"{model.name} has {len(stack_of(model))} edits on it, and must have none: take them off.")
