"""Number formats by name."""

from __future__ import annotations

from typing import Any

import torch

from turpentine.core.errors import BadArgument

_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def number_format(value: Any) -> torch.dtype:
    """Return the number format that somebody means, by torch's name of it, a short one, or as torch has it.

    Raises:
        BadArgument: There is none of this name, or none that a model computes in.

    Example:
        >>> number_format("fp16"), number_format("bfloat16")
        (torch.float16, torch.bfloat16)
    """
    dtype = as_dtype(value)
    if dtype is None or not dtype.is_floating_point or dtype.itemsize == 1:
        raise BadArgument(f"{value!r} is no number format of weights: give float32, float16 or bfloat16.")
    return dtype


def as_dtype(value: Any) -> torch.dtype | None:
    """Return what torch has of a name, or None where it is no number format of any kind."""
    name = _SHORT.get(value, value).removeprefix("torch.") if isinstance(value, str) else value
    named = getattr(torch, name, None) if isinstance(name, str) else name
    return named if isinstance(named, torch.dtype) else None
