"""How many rows of the denoiser fit into the memory that is free, found out by counting what one row takes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from turpentine.core.errors import NoMemory
from turpentine.core.formatting import file_size
from turpentine.models.generate import check_size
from turpentine.models.interface import Size
from turpentine.models.loading.memory import free_memory

if TYPE_CHECKING:
    from turpentine.models.model import Model

MOST = 256
"""Rows in one call where memory is no matter."""

GUIDED = 2
"""Rows of the denoiser that a picture takes with guidance."""

PLENTY = 50
"""Times the denoiser's bytes, which no row of any family takes, not with its gradients either."""

FP32 = torch.float32.itemsize
COLOURS = 3

MARGIN = 2.0
"""Times what a row's tensors take, for what kernels take beside them and for what an instrument keeps."""


class PeakBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of tensors that are made inside a `with` block and live at the same time, at most.

    Attributes:
        peak: The most at a time.

    Example:
        >>> with PeakBytes() as count:
        ...     for _ in range(3):
        ...         ones = torch.ones(250) + 1
        >>> count.peak
        3000
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: dict[int, int] = {}
        self._bytes = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operation, and count what it gives."""
        result = func(*args, **(kwargs or {}))
        given = {id(each.untyped_storage()) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        for tensor in (each for each in tree_leaves(result) if isinstance(each, Tensor)):
            storage = tensor.untyped_storage()
            key = id(storage)
            if key not in given and key not in self._live:
                self._live[key] = storage.nbytes()
                self._bytes += self._live[key]
                weakref.finalize(storage, self._forget, key)
        self.peak = max(self.peak, self._bytes)
        return result

    def _forget(self, key: int) -> None:
        self._bytes -= self._live.pop(key)


def bytes_a_row(model: Model, size: Size | None = None) -> int:
    """Return the bytes that a row of the denoiser takes beside the weights, by a call with one.

    Args:
        model: The model.
        size: Of the picture, as in `Model.generate`.
    """
    x, cond = model.noise([0], size=size), model.encode([""])
    count = PeakBytes()
    with torch.no_grad(), count:
        model.eps(x, model.schedule.training_steps // 2, cond)
    return count.peak


def is_plenty(model: Model, rows: int, free: int) -> bool:
    """Return whether so much memory is free that rows fit for certain, and none needs to be tried.

    Args:
        model: The model.
        rows: Of the denoiser in one call.
        free: Bytes of memory.
    """
    size: int = sum(weight.numel() * weight.itemsize for weight in model.denoiser.parameters())
    return rows * PLENTY * size <= free


def rows_that_fit(each: int, free: int, most: int = MOST) -> int:
    """Return the largest of `most`, its half, its quarter and so on whose rows fit into memory; 1 at least.

    Args:
        each: Bytes of a row.
        free: Bytes of memory.
        most: As many at most.

    Example:
        >>> rows_that_fit(10**6, 10**9), rows_that_fit(10**7, 10**9), rows_that_fit(10**9, 10**9)
        (256, 32, 1)
    """
    while most > 1 and most * each * MARGIN > free:
        most //= 2
    return most


def check_picture_fits(model: Model, size: Size) -> None:
    """Check that a picture of a size can be decoded at all: the autoencoder's last maps of it, in and out, must fit.

    What the denoiser takes comes on top and is not counted, so that no picture is refused that would be drawn.

    Args:
        model: The model.
        size: As in `Model.generate`.

    Raises:
        NoMemory: They do not.
    """
    height, width = check_size(size)
    config = getattr(getattr(model.pipeline, "vae", None), "config", {})
    channels = (config.get("block_out_channels") or (0,))[0]
    needed = height * width * (2 * channels + COLOURS) * FP32
    free = free_memory(model.device)
    if needed > free:
        raise NoMemory(
            f"A picture of {height} x {width} pixels takes {file_size(needed)} at least to decode, and "
            f"{file_size(free)} are free: take a smaller size."
        )


def pictures_that_fit(model: Model, most: int, *, size: Size | None = None, workers: int = 1) -> int:
    """Return how many pictures are drawn at once with guidance: `most`, or fewer where the free memory is short.

    Autoencoders decode a few at a time, whatever it is.

    Args:
        model: The model.
        most: As many at most.
        size: Of a picture, as in `Model.generate`.
        workers: Processes that share the main memory.
    """
    free = free_memory(model.device) // (workers if model.device.type == "cpu" else 1)
    if size is None and is_plenty(model, GUIDED * most, free):
        return most
    return rows_that_fit(GUIDED * bytes_a_row(model, size), free, most)


def fitting_rows(model: Model, most: int = MOST) -> int:
    """Return how many rows of a model's denoiser go into one call on its device, by what is free there now."""
    return rows_that_fit(bytes_a_row(model), free_memory(model.device), most)
