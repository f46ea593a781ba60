"""Where a model is and in which number format, and moving it there with the edits on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from turpentine.core.errors import BadArgument
from turpentine.models.loading.number_formats import as_dtype, number_format
from turpentine.models.loading.quiet_logging import quiet
from turpentine.models.weight_samples import check_weights

if TYPE_CHECKING:
    from turpentine.models.pretrained import Pretrained


def placement(where: tuple[Any, ...], device: Any, dtype: Any) -> tuple[torch.device | None, torch.dtype | None]:
    """Return the device and the number format that somebody means, None for what stays.

    Raises:
        BadArgument: One is none, or is given twice.

    Example:
        >>> placement(("cpu", torch.float16), None, None)
        (device(type='cpu'), torch.float16)
        >>> placement((), None, "bfloat16")
        (None, torch.bfloat16)
    """
    devices, dtypes = [device], [dtype]
    for each in where:
        (dtypes if as_dtype(each) is not None else devices).append(each)
    devices, dtypes = ([each for each in some if each is not None] for some in (devices, dtypes))
    if len(devices) > 1 or len(dtypes) > 1:
        raise BadArgument(f"{devices or dtypes} are several: give one device and one number format at most.")
    return device_of(devices[0]) if devices else None, number_format(dtypes[0]) if dtypes else None


def place(model: Pretrained, device: torch.device | None, dtype: torch.dtype | None) -> None:
    """Move a model in place. Edits on it are taken off, and put on again in their order in the new number format.

    Args:
        model: The model.
        device: Where to, None to leave it there.
        dtype: Into which number format, None for its own; what its family computes in fp32 stays in fp32.
    """
    if dtype is None or dtype == model.dtype:
        _convert(model, device, None)
        return
    edits = list(model.edits or ())
    for edit in reversed(edits):
        edit.remove(model)
    try:
        check_weights(model)
        _note_rounding(model, dtype)
        _convert(model, device, dtype)
        model.note_weights()
    finally:
        for edit in edits:
            edit.apply(model)


def _convert(model: Pretrained, device: torch.device | None, dtype: torch.dtype | None) -> None:
    with quiet():
        model.pipeline.to(device=device, dtype=dtype)
        for name in model.family.full_precision():
            model.family.components[name].to(torch.float32)


def _note_rounding(model: Pretrained, dtype: torch.dtype) -> None:
    """Make the model's identity anew: half precision loses digits that do not come back.

    bf16 rounds more than the fingerprint does, which is therefore taken before, and says which base an edit is of. Of
    weights that were rounded so the remainder says it, for they are no longer what the fingerprint is of.
    """
    if torch.bfloat16 in (dtype, model.dtype):
        _ = model.fingerprint
        if model.dtype == torch.bfloat16:
            vars(model)["remainder"] = f"rounded to bfloat16 {model.remainder}".rstrip()
    else:
        vars(model).pop("remainder", None)


def device_of(value: Any) -> torch.device:
    """Return the device of a name, or the same device.

    Raises:
        BadArgument: There is none on this machine.
    """
    try:
        device = torch.device(value)
        torch.empty(0, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:
        raise BadArgument(f"{value!r} is no device of this machine: give cpu, or cuda where there is one.") from error
    return device
