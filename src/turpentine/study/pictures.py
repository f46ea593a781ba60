"""Pictures of a study: where each is, what it is called on the page, and its bytes without anything but pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_file, digest_images
from turpentine.core.imaging import encoded, read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SMALL = 128
"""Up to this many pixels a picture is enlarged pixel by pixel."""


@dataclass(frozen=True, eq=False)
class Still:
    """A picture of a study.

    Attributes:
        source: Its file, or the picture itself.
        blur: Is it hidden until a rater shows it?
    """

    source: Path | Image.Image
    blur: bool = False

    @cached_property
    def id(self) -> str:
        """SHA-256 of the file, or of the pixels."""
        try:
            return digest_file(self.source) if isinstance(self.source, Path) else digest_images([self.source])
        except OSError as error:
            raise BadArgument(f"The picture {self.source} cannot be read: {error.strerror}.") from error

    def image(self) -> Image.Image:
        """Return the picture in RGB.

        Raises:
            BadArgument: Its file is no picture.
        """
        return read_picture(self.source) if isinstance(self.source, Path) else self.source

    def content(self) -> bytes:
        """Return the picture as a PNG of its pixels alone: no prompt, no date and no camera goes to a rater."""
        return encoded(Image.fromarray(np.asarray(self.image())), "PNG")


def noise_still(size: tuple[int, int], seed: int) -> Still:
    """Return a picture of nothing: every pixel by chance."""
    rng = np.random.default_rng(seed)
    return Still(Image.fromarray(rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)))


def stills_in(folder: Path, blur: bool = False) -> list[Still]:
    """Return the pictures of a folder by name; none where there is no such folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [Still(path, blur) for path in paths if path.suffix.lower() in SUFFIXES]
