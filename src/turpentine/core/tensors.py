"""Write tensors to safetensors files that appear whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from turpentine.core.atomic_files import write_whole


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to one safetensors file, whole or not at all, with the permissions of any new file.

    Args:
        path: The file to write.
        tensors: Tensors by name, on any device; views and shared memory are copied.
        metadata: Strings by name for the file's header.

    Raises:
        OSError: The disk is full, or another error of the file system.
    """
    contiguous = {name: standalone(tensor) for name, tensor in tensors.items()}
    with write_whole(path) as partial, as_os_errors(path):
        mode = partial.stat().st_mode
        save_file(contiguous, partial, metadata=dict(metadata) if metadata else None)
        partial.chmod(mode)  # safetensors puts a file of its own there, which only its owner may read


def standalone(tensor: Tensor) -> Tensor:
    """Return the tensor on the CPU with memory of its own: safetensors refuses tensors that share memory."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.clone() if tensor.untyped_storage().nbytes() != tensor.nbytes else tensor


@contextmanager
def as_os_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn safetensors' errors of the file system (a full disk, say) into OSErrors."""
    try:
        yield
    except SafetensorError as error:
        match = re.search(r"os error (\d+)", str(error))
        if match is None:
            raise
        code = int(match.group(1))
        raise OSError(code, os.strerror(code), os.fspath(path)) from error
