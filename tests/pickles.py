"""A tripwire: while tests run, whatever reads a pickle in torch, and so in transformers and diffusers, raises."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
import torch.hub
import torch.jit
import torch.package
import torch.serialization
import torch.storage


class PickleRead(BaseException):
    """A pickle was about to be read. No library's `except Exception` hides it."""


READERS: tuple[tuple[ModuleType, str], ...] = (
    (torch, "load"),  # by which transformers, diffusers, accelerate and PEFT read theirs
    (torch.serialization, "load"),
    (torch.jit, "load"),
    (torch.hub, "load_state_dict_from_url"),
    (torch.package, "PackageImporter"),
)
"""All that reads a pickle from a file: where it is looked up, and its name there."""


def set_tripwires() -> None:
    """Replace the readers, for the whole process."""
    for module, name in READERS:
        setattr(module, name, _guarded(getattr(module, name)))


def _guarded(reader: Any) -> Any:
    def refuse(*args: Any, **options: Any) -> Any:
        # A tensor that is copied or sent to another process is a pickle in memory, of our own making.
        if sys._getframe(1).f_code is torch.storage._load_from_bytes.__code__:
            return reader(*args, **options)
        raise PickleRead(f"A pickle was about to be read: {args[:1]}")

    return refuse
