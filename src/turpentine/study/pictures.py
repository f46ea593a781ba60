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
_PNG = b"\x89PNG\r\n\x1a\n"
_OPAQUE = (b"\0", b"\2", b"\3")
"""Grey, in colour, and of a palette, as a PNG's 26th byte says."""
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_WORDS = (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"pHYs")
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
        bare = bare_png(self.source.read_bytes()) if isinstance(self.source, Path) else None
        return bare or encoded(Image.fromarray(np.asarray(self.image())), "PNG", compress_level=1)


def bare_png(content: bytes) -> bytes | None:
    """Return a PNG without its texts and times, bit by bit what its pixels are; None for what must be drawn anew.

    That is any other format, and a PNG whose pixels are seen otherwise than they stand: turned, transparent, or in
    colours of its own. To draw a picture anew takes fifty times as long.

    Args:
        content: Of a file.
    """
    if not content.startswith(_PNG) or content[25:26] not in _OPAQUE:
        return None
    parts, place = [_PNG], len(_PNG)
    while place + 12 <= len(content):
        kind, end = content[place + 4 : place + 8], place + 12 + int.from_bytes(content[place : place + 4])
        if kind in _PIXELS:
            parts.append(content[place:end])
        elif kind not in _WORDS:
            return None
        place = end
        if kind == b"IEND":
            return b"".join(parts)
    return None


def noise_still(size: tuple[int, int], seed: int) -> Still:
    """Return a picture of nothing: every pixel by chance."""
    rng = np.random.default_rng(seed)
    return Still(Image.fromarray(rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)))


def stills_in(folder: Path, blur: bool = False) -> list[Still]:
    """Return the pictures of a folder by name; none where there is no such folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [Still(path, blur) for path in paths if path.suffix.lower() in SUFFIXES]
