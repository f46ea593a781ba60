"""Which weights a judge has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from torch import nn

from turpentine.core.sealed import digest


def weights_digest(code: str, *networks: nn.Module) -> str:
    """SHA-256, in hex, over the revision of a judge's code and the names, dtypes, shapes and values of all weights."""
    lines = [f"{name} {digest(tensor)}" for net in networks for name, tensor in sorted(net.state_dict().items())]
    return text_digest([code, *lines])


def text_digest(lines: Iterable[str]) -> str:
    """SHA-256, in hex, over lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256, in hex, over a file. Raises OSError as the file system does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
