"""Number formats by name."""

from __future__ import annotations

import torch

from turpentine.core.errors import BadArgument

FORMATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""In which a model may be loaded, by torch's names."""

_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def number_format(name: str | torch.dtype) -> torch.dtype:
    """Return the number format of a name; one of torch's is returned as it is.

    Raises:
        BadArgument: There is none of this name, or none that a model computes in.

    Example:
        >>> number_format("fp16"), number_format("bfloat16")
        (torch.float16, torch.bfloat16)
    """
    if isinstance(name, torch.dtype) and name.is_floating_point and name.itemsize > 1:
        return name
    short = str(name).removeprefix("torch.")
    if _SHORT.get(short, short) in FORMATS:
        return FORMATS[_SHORT.get(short, short)]
    raise BadArgument(f"A model has no number format {str(name)!r}: give {', '.join(FORMATS)}.")
