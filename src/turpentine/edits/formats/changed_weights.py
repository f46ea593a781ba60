"""Export the denoiser's weights that edits change, in full, as the authors of ESD and UCE publish edits."""

from __future__ import annotations

import os

from turpentine.core.errors import EditError
from turpentine.core.tensors import save_tensors
from turpentine.edits.edit import stack_of
from turpentine.models import Model
from turpentine.models.saving import export_record, refuse_existing, refuse_guidance

RECORD = "turpentine.weights"
"""The key of what our own files of this layout say of their edits, in their metadata."""


def save_changed_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the weights of the denoiser that the edits on a model change, in full, as one safetensors file.

    The names are diffusers' own within the denoiser, such as `conv_in.weight`, and the number format is the model's. So
    a program that has the same model takes the edit on bit by bit, as the notebooks of `erasing` and of
    `unified-concept-editing` do: `unet.load_state_dict(load_file(path), strict=False)`. `import_edit` reads it back.

    Args:
        model: The model with the edits on it.
        path: Where to; it must not exist.

    Raises:
        EditError: The path exists, no edit is on the model, one changes a text encoder, or a guidance is on the model.
        UnsupportedModel: Something is on the model that no export holds, such as a LoRA of PEFT's.
        OSError: The disk is full, or another error of the file system.

    Example:
        >>> from safetensors.torch import load_file
        >>> with tempfile.TemporaryDirectory() as folder, UCE()(model, Concept("church")).on(model):
        ...     save_changed_weights(model, f"{folder}/no-church.safetensors")
        ...     file = load_file(f"{folder}/no-church.safetensors")
        ...     len(file), model.denoiser.load_state_dict(file, strict=False).unexpected_keys
        (32, [])
    """
    refuse_existing(path)
    refuse_guidance(model)
    model.family.check(hooks=False)
    names = dict.fromkeys(name for edit in stack_of(model) for name in edit.names)
    if not names:
        raise EditError(f"No edit is on {model!r}, so that no weight of it is changed: put one on first.")
    prefix = next(f"{part}." for part, network in model.components.items() if network is model.denoiser)
    outside = next((name for name in names if not name.startswith(prefix)), None)
    if outside is not None:
        raise EditError(
            f"The file would hold {outside}, which no denoiser has, and programs that read such files load no other "
            "part: write a folder, a LoRA or an edit."
        )
    weights = {name.removeprefix(prefix): model.parameter(name) for name in names}
    save_tensors(path, weights, {"format": "pt", RECORD: export_record(model)})
