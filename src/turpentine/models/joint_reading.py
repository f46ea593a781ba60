"""What the picture reads of the text in joint attention: nothing, or the empty prompt's; the text itself goes on."""

from __future__ import annotations

from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.models.call import Call
from turpentine.models.hooks import After
from turpentine.models.model import Model
from turpentine.models.sampler import combination_of


def read_nothing(model: Model) -> After:
    """Return a function, put after joint attention, by which the picture attends to itself alone on the prompts' rows.

    Its softmax is over the picture's tokens; what the text attends to stays as it is.

    Args:
        model: Whose modules they are.
    """
    return lambda call: model.family.with_text_of(call, None)


def read_empty(model: Model) -> After:
    """Return a function, put after joint attention, by which the picture reads ∅'s text on the prompts' rows.

    That is the text of ε_∅ as it is in this block in the same call of the denoiser.

    Args:
        model: Whose modules they are.
    """

    def with_empty(call: Call) -> Any:
        if call.moment is None or not _has_empty(call):
            raise _no_empty(model)
        return model.family.with_text_of(call, call.moment.guiding[0])

    return with_empty


def check_empty(model: Model, guidance_scale: float, steps: int) -> None:
    """Check that a sampler computes ε_∅, whose text is to be read.

    Args:
        model: That is sampled.
        guidance_scale: w.
        steps: Of the solver.

    Raises:
        BadArgument: It does not.
    """
    if not combination_of(model, model.guidance, 1, guidance_scale, steps).needs_uncond:
        raise _no_empty(model)


def _has_empty(call: Call) -> bool:
    """Return whether there are ∅'s rows, which come before the prompts'."""
    assert call.moment is not None
    guiding = call.moment.guiding
    return bool(guiding) and guiding[0].start < call.rows.start


def _no_empty(model: Model) -> BadArgument:
    own = model.embeds_guidance
    why = (
        "computes guidance itself, without that text: " if own else "computes none of it at w = 1: take another w, or "
    )
    return BadArgument(
        f"p and r let the picture read the empty prompt's text, and {model.family.title} {why}sever with q or o."
    )
