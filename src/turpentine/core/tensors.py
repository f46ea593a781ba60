"""Files of tensors that appear whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from turpentine.core.atomic_files import write_whole


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to one safetensors file, whole or not at all, with the access that new files have here.

    Raises OSError as the file system does.
    """
    plain = {name: standalone(tensor) for name, tensor in tensors.items()}
    with write_whole(path) as aside, as_os_errors(path):
        mode = aside.stat().st_mode
        save_file(plain, aside, metadata=dict(metadata) if metadata else None)
        aside.chmod(mode)  # safetensors puts a file of its own there, which only its owner may read


def discard(folder: str | os.PathLike[str]) -> None:
    """Remove a folder of tensors, when what they were kept for is safe elsewhere; files of others stay, and then it.

    Nothing happens if there is none.
    """
    # The hidden ones are what a kill leaves behind, of safetensors' own writing and of ours.
    for pattern in ("*.safetensors", ".tmp*", ".part-*"):
        for path in Path(folder).glob(pattern):
            path.unlink()
    if Path(folder).is_dir() and not any(Path(folder).iterdir()):
        Path(folder).rmdir()


def standalone(tensor: Tensor) -> Tensor:
    """The tensor on the CPU with memory of its own: safetensors refuses views of one another."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor.clone() if tensor.untyped_storage().nbytes() != tensor.nbytes else tensor


@contextmanager
def as_os_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what the file system refuses safetensors (a full disk, say) as the OSError that it is."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number.group(1))
        raise OSError(code, os.strerror(code), os.fspath(path)) from error
