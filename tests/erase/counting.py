"""What a closed form costs: factorisations and solves, and texts through an encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from turpentine.models import Model


class Operations(TorchDispatchMode):
    """Counts every operation that torch runs inside a `with` block, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))

    @property
    def solving(self) -> dict[str, int]:
        """Factorisations, solves and inversions of any kind."""
        kinds = ("cholesky", "solve", "inv", "lu", "qr", "svd", "eig", "lstsq")
        return {name: times for name, times in self.count.items() if any(kind in name for kind in kinds)}


@contextmanager
def encoded_texts(model: Model) -> Iterator[list[int]]:
    """Rows of each call of the first text encoder."""
    rows: list[int] = []
    hook = model.pipeline.text_encoder.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        yield rows
    finally:
        hook.remove()
