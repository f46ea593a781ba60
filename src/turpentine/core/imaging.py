"""Read images as a person sees them, encode them as bytes, and paste them side by side on a page."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import one_line

_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Modes of Pillow for grey in 16 bits; a file may be read as "I", of 32 bits, which then holds 16."""


SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
"""Endings of the files of pictures."""


def pictures_in(folder: Path) -> list[Path]:
    """Return the files of pictures in a folder, by name; not the hidden ones that macOS puts beside others'."""
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.name[0] != "."]


def read_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Read a file as a person sees it; see `as_seen`.

    Raises:
        BadArgument: The file is missing, or no image that can be read; the message names it.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return as_seen(image)
    except BadArgument as error:
        raise BadArgument(f"{one_line(str(path))}: {error}") from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise BadArgument(f"{one_line(str(path))} is no picture that can be read{why}: give a PNG or JPEG.") from error


def as_seen(image: Image.Image) -> Image.Image:
    """Return an image in RGB as a person sees it, which Pillow's `convert` alone does not.

    It is turned as its EXIF orientation says; 16 bits become 8, and not white; its colour profile becomes sRGB; and
    what is transparent is white.

    Args:
        image: Of any mode; one in RGB with nothing to do is returned itself.

    Raises:
        BadArgument: It holds fractions, whose white nobody knows.

    Example:
        >>> as_seen(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
        >>> as_seen(Image.new("I;16", (1, 1), 65535)).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BITS:
        image = _eight_bits(image)
    if image.mode == "F":
        raise BadArgument("It holds fractions, of which nobody knows the white: save it in 8 or 16 bits.")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        return Image.composite(_in_srgb(image.convert("RGB"), image.info), Image.new("RGB", image.size, "white"), alpha)
    return _in_srgb(image, image.info)


def fitted(images: Sequence[Image.Image], size: tuple[int, int]) -> list[Image.Image]:
    """Resize images to one size (height, width in pixels), cropping evenly at both ends what does not fit."""
    return [ImageOps.fit(as_seen(image), size[::-1], Image.Resampling.LANCZOS) for image in images]


def _eight_bits(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.int64)
    is_wide = image.mode != "I" or grey.max(initial=0) > 255
    return Image.fromarray((grey / 257 if is_wide else grey).round().clip(0, 255).astype(np.uint8))


def _in_srgb(image: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """Return the image in RGB, by its colour profile where that is another than sRGB and can be read."""
    profile = info.get("icc_profile")
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(own).lower():
                seen = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return seen if seen is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that is damaged, or of another kind of image, says nothing
    return image if image.mode == "RGB" else image.convert("RGB")


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Encode an image as the bytes of a file.

    Args:
        image: The image.
        form: A format that Pillow writes, such as "PNG".
        options: Pillow's options for that format, such as `quality` of "JPEG".

    Example:
        >>> encoded(Image.new("RGB", (8, 8)), "PNG")[:4]
        b'\x89PNG'
    """
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def paste_rows(
    page: Image.Image,
    rows: Sequence[Sequence[Image.Image]],
    corner: tuple[int, int],
    size: tuple[int, int],
    gap: int,
) -> None:
    """Paste rows of images onto a page, each resized without blur. All lengths are in pixels.

    Args:
        page: The image to paste onto; it is changed.
        rows: Images, row by row.
        corner: Left and top of the first image.
        size: Width and height of each image on the page.
        gap: Space between two images.
    """
    for j, row in enumerate(rows):
        for i, image in enumerate(row):
            place = (corner[0] + i * (size[0] + gap), corner[1] + j * (size[1] + gap))
            page.paste(image.resize(size, Image.Resampling.NEAREST), place)
