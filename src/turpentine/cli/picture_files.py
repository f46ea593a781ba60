"""Pictures as PNG files that hold their own recipe, so that a run that was broken off draws only what is missing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from turpentine.cli.contact_sheet import SHEET
from turpentine.cli.terminal import plain
from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest, digest_images
from turpentine.core.parts import DamagedPart
from turpentine.core.safe_text import safe_name

_KEY = "turpentine"
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}


@dataclass(frozen=True)
class PictureFile:
    """A picture to draw.

    Attributes:
        path: Of its PNG file.
        prompt: Of the picture.
        seed: Of the picture.
        recipe: All that decides its pixels, as JSON has it; the model by its whole description.
    """

    path: Path
    prompt: str
    seed: int
    recipe: dict[str, Any]

    def is_complete(self) -> bool:
        """Return whether the file holds just this picture already; a damaged one does not, and is warned of.

        Raises:
            BadArgument: Another program's file is there.
        """
        if not self.path.exists():
            return False
        record = _record_in(self.path)
        if record is None:
            raise BadArgument(f"{plain(str(self.path))} is another program's file: choose another folder with --out.")
        if record.get("key") != digest(self.recipe):
            return False
        if record.get("sha256") == _pixels_in(self.path):
            return True
        warnings.warn(f"{self.path} is damaged: it is drawn anew.", DamagedPart, stacklevel=2)
        return False

    def write(self, image: Image.Image) -> None:
        """Write the file, whole or not at all."""
        record = {"key": digest(self.recipe), "sha256": digest_images([image]), "recipe": self.recipe}
        info = PngInfo()
        info.add_itxt(_KEY, json.dumps(record))
        with write_whole(self.path) as aside:
            image.save(aside, format="PNG", pnginfo=info)


def planned(prompts: Sequence[str], seeds: Sequence[int], folder: Path, settings: dict[str, Any]) -> list[PictureFile]:
    """Return a picture for each prompt with each seed, named after them.

    Args:
        prompts: Each once.
        seeds: Of each prompt.
        folder: For the files.
        settings: What decides the pixels beside prompt and seed, in types of JSON.
    """
    stems = _stems(prompts)
    return [
        PictureFile(
            folder / f"{stems[prompt]}-seed{seed}.png", prompt, seed, {"prompt": prompt, "seed": seed, **settings}
        )
        for prompt in prompts
        for seed in seeds
    ]


def _stems(prompts: Sequence[str]) -> dict[str, str]:
    """Return a safe file name for each prompt, with a number where two prompts would share one."""
    stems: dict[str, str] = {}
    for prompt in prompts:
        name, number = safe_name(prompt), 1
        while name in stems.values():
            number += 1
            name = f"{safe_name(prompt)}-{number}"
        stems[prompt] = name
    return stems


def _record_in(path: Path) -> dict[str, Any] | None:
    """Return the record in our file; None for another program's."""
    try:
        with Image.open(path) as image:
            record = json.loads(image.info[_KEY])
    except (KeyError, ValueError, TypeError, SyntaxError, UnidentifiedImageError):
        return None
    return record if isinstance(record, dict) else None


def _pixels_in(path: Path) -> str | None:
    """Return the SHA-256 of a picture's size and pixels; None where they cannot be read."""
    try:
        with Image.open(path) as image:
            return digest_images([image])
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return None


def prompt_in(path: Path) -> str | None:
    """Return the prompt in a picture's file; None where there is none."""
    recipe = (_record_in(path) or {}).get("recipe")
    prompt = recipe.get("prompt") if isinstance(recipe, dict) else None
    return None if prompt is None else str(prompt)


def picture_files(given: Sequence[Path]) -> list[Path]:
    """Return the files, and those in the folders, but for contact sheets.

    Args:
        given: Files and folders.

    Raises:
        BadArgument: There is no picture.
    """
    paths = [path for each in given for path in (_pictures_in(each) if each.is_dir() else [each])]
    if not paths:
        raise BadArgument("There is no picture: give picture files, or folders that hold some.")
    return paths


def _pictures_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES and path.name != SHEET]


def read_picture(path: Path) -> Image.Image:
    """Read a picture in RGB.

    Raises:
        BadArgument: The file is no picture.
        OSError: As the file system does.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadArgument(f"{plain(str(path))} is not a picture that can be read.") from error
