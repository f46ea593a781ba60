"""Pictures on disk, each once, under the SHA-256 of its file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from turpentine.core.atomic_files import write_whole
from turpentine.core.hashing import digest_bytes
from turpentine.core.imaging import encoded

STORE = ".store"
"""The folder of the store within a run's of turpentine erase; a bench's folder is its store."""

# A disk takes as long to make sure of one file as of several at once.
_AT_ONCE = 16


class Images:
    """PNG files in a folder, `ab/ab12….png`, named by their content, so that equal pictures are one file.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, images: Sequence[Image.Image]) -> list[str]:
        """Store pictures, and return their names.

        Raises:
            OSError: As the file system does.
        """
        with ThreadPoolExecutor(min(_AT_ONCE, len(images) or 1)) as pool:
            return list(pool.map(self._put, images))

    def get(self, name: str) -> Image.Image | None:
        """Return a picture, None if it is missing or damaged."""
        content = self._content(name)
        return None if content is None else Image.open(io.BytesIO(content)).convert("RGB")

    def path(self, name: str) -> Path:
        """Return where a picture is, or would be."""
        return self.folder / name[:2] / f"{name}.png"

    def _put(self, image: Image.Image) -> str:
        content = encoded(image, "PNG")
        name = digest_bytes(content)
        if self._content(name) is None:
            with write_whole(self.path(name)) as aside:
                aside.write_bytes(content)
        return name

    def _content(self, name: str) -> bytes | None:
        """Return the file's bytes, None unless its name is their digest."""
        try:
            content = self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        return content if digest_bytes(content) == name else None


def images_of_run(folder: Path) -> Images:
    """Return the pictures of a run: of turpentine erase, or of a bench."""
    store = folder / STORE
    return Images((store if store.is_dir() else folder) / "images")
