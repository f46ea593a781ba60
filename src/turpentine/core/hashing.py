"""Names for values: the SHA-256 of what they are made of. No other module of ours computes one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Bytes = bytes | bytearray | memoryview


def digest(content: Any) -> str:
    """Return the SHA-256, in hex, of JSON content: equal content has one digest, on every machine.

    Args:
        content: Anything that JSON has. Keys of mappings may stand in any order; tuples count as lists.

    Example:
        >>> digest({"steps": 20, "solver": "ddim"}) == digest({"solver": "ddim", "steps": 20})
        True
    """
    return digest_bytes(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def digest_bytes(*chunks: Bytes) -> str:
    """Return the SHA-256, in hex, of bytes; several chunks count as one after the other.

    Example:
        >>> digest_bytes(b"ab", b"c") == digest_bytes(b"abc")
        True
    """
    return digest_chunks(chunks)


def digest_chunks(chunks: Iterable[Bytes]) -> str:
    """Return the SHA-256, in hex, of chunks of bytes that are never in memory together."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()


def digest_tensor(tensor: Tensor) -> str:
    """Return the SHA-256, in hex, of a tensor's dtype, shape and bytes, wherever it is."""
    return digest_bytes(f"{tensor.dtype} {tuple(tensor.shape)} ".encode(), tensor_bytes(tensor))


def tensor_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor's numbers, in row-major order."""
    import torch  # which takes a second, and most who name things have none

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    data: memoryview = flat.view(torch.uint8).numpy().data
    return data


def digest_file(path: Path) -> str:
    """Return the SHA-256, in hex, of a file's bytes.

    Raises:
        OSError: As the file system does.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_images(images: Sequence[Image.Image]) -> str:
    """Return the SHA-256, in hex, of the sizes and pixels of pictures in their order; "" for no picture."""
    return digest_chunks(part for each in images for part in _image_chunks(each)) if images else ""


def _image_chunks(image: Image.Image) -> tuple[bytes, bytes]:
    return f"{image.size} ".encode(), image.tobytes()
