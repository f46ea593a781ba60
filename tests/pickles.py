"""A tripwire: while tests run, whatever reads a pickle in torch, and so in transformers and diffusers, raises."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn

import torch
import torch.hub
import torch.jit
import torch.package
import torch.serialization


class PickleRead(BaseException):
    """A pickle was about to be read. No library's `except Exception` hides it."""


READERS: tuple[tuple[ModuleType, str], ...] = (
    (torch, "load"),  # by which transformers, diffusers, accelerate and PEFT read theirs
    (torch.serialization, "load"),
    (torch.serialization, "_load"),
    (torch.serialization, "_legacy_load"),
    (torch.jit, "load"),
    (torch.hub, "load_state_dict_from_url"),
    (torch.package, "PackageImporter"),
)
"""All that reads a pickle from a file: where it is looked up, and its name there."""


def set_tripwires() -> None:
    """Replace the readers, for the whole process."""
    for module, name in READERS:
        setattr(module, name, _refuse)


def _refuse(*args: Any, **_: Any) -> NoReturn:
    raise PickleRead(f"A pickle was about to be read: {args[:1]}")
