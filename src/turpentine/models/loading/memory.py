"""Whether the weights of a model fit into the memory that is free, asked before any of them is read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import psutil
import torch
from safetensors import safe_open

from turpentine.core.errors import NoMemory
from turpentine.core.formatting import file_size
from turpentine.core.safe_text import one_line

HALF = torch.float16


def free_memory(device: torch.device) -> int:
    """Return the bytes of a device's memory that this program could still take, those that can be swapped out too.

    On a GPU torch keeps what was freed to give it out again, which other programs see as taken.
    """
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(psutil.virtual_memory().available + psutil.swap_memory().free)


def numbers_in(paths: Iterable[Path]) -> int:
    """Return how many numbers the tensors of safetensors files hold, by their headers.

    Raises:
        SafetensorError: One is no such file.
    """
    total = 0
    for path in paths:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return total


def check_weights_fit(source: Path, files: Iterable[Path], dtype: torch.dtype, device: torch.device) -> None:
    """Check that the weights of a model fit into the main memory that is free, and into that of its device.

    Args:
        source: The model's place, for the message.
        files: Of its weights.
        dtype: That they are read as.
        device: Where they go from the main memory.

    Raises:
        NoMemory: They do not; the message says what does.
    """
    places = dict.fromkeys((torch.device("cpu"), device))
    check_fits(str(source), numbers_in(files), dtype, [(each, free_memory(each)) for each in places])


def check_fits(source: str, numbers: int, dtype: torch.dtype, places: Iterable[tuple[torch.device, int]]) -> None:
    """Check that weights fit into memory.

    Args:
        source: The model's name, for the message.
        numbers: That its weights have.
        dtype: That they are read as.
        places: Devices, and the bytes that are free there.

    Raises:
        NoMemory: They do not; the message says what does.

    Example:
        >>> check_fits("small", 10**6, torch.float32, [(torch.device("cpu"), 10**9)])
    """
    for device, free in places:
        needed = numbers * dtype.itemsize
        if needed <= free:
            continue
        half = numbers * HALF.itemsize
        way = "close other programs, or take a smaller model"
        if half <= free and half < needed:
            way = f"load it in half precision (dtype fp16), which takes {file_size(half)}"
        takes = f"take {file_size(needed)} in {str(dtype).removeprefix('torch.')}"
        has = f"{file_size(free)} of memory are free on {device}"
        raise NoMemory(f"The weights of {one_line(source)} {takes}, and {has}: {way}.")
