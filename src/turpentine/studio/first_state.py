"""What a page of the studio begins with on a model."""

from __future__ import annotations

from turpentine.erase.best import best_for
from turpentine.models import Model
from turpentine.models.drawing_defaults import is_small
from turpentine.studio.erasing import METHODS
from turpentine.studio.state import PageState
from turpentine.tasks.erasure_cases import named_concept


def first_state(model: Model) -> PageState:
    """Return what the page begins with: the model's own method, and its family's steps and guidance.

    Models as small as the embedded worlds' draw with fewer steps than elsewhere, for the page is to answer at once.

    Args:
        model: Of the page.
    """
    name = best_for(model, [named_concept("church")]).name
    state = PageState(method=name if name in METHODS else "uce")
    if is_small(model):
        return state
    steps, scale = model.family.drawing
    return state.model_copy(update={"steps": steps, "guidance_scale": scale})
