"""A whole model that others have edited, as its difference to the one that it was made from."""

from __future__ import annotations

import torch

from turpentine.core.errors import EditError, WrongBase
from turpentine.edits.edit import Edit
from turpentine.edits.formats.foreign import IMPORTED
from turpentine.edits.provenance import Provenance
from turpentine.models import Model


def difference_of(edited: Model, original: Model) -> Edit:
    """Return what has to be added to a model's weights for them to be another one's, in all but the autoencoder.

    Args:
        edited: The whole model.
        original: What it was made from.

    Raises:
        WrongBase: It lacks a weight of the original, or has it in another shape.
        EditError: It differs in nothing.
    """
    deltas = {}
    for part, network in original.components.items():
        others = dict(edited.components[part].named_parameters()) if part in edited.components else {}
        for name, weight in network.named_parameters() if network is not original.vae else ():
            other = others.get(name)
            if other is None or other.shape != weight.shape:
                raise WrongBase(f"{edited.name} has no {part}.{name} of the shape that {original.name} has.")
            delta = other.detach().float().cpu() - weight.detach().float().cpu()
            if torch.count_nonzero(delta):
                deltas[f"{part}.{name}"] = delta
    if not deltas:
        raise EditError(f"{edited.name} differs from {original.name} in nothing: is it the model itself?")
    settings = {"file": edited.name, "form": "model"}
    return Edit(deltas, Provenance(IMPORTED, settings, base=original.fingerprint, model=original.name))
