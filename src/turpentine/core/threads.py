"""How many threads torch runs on, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Run torch on `count` threads inside a `with` block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
