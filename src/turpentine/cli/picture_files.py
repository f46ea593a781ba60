"""Pictures as PNG files that hold their own recipe, so that a run that was broken off draws only what is missing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Sequence
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
from turpentine.core.imaging import pictures_in, read_picture
from turpentine.core.parts import DamagedPart
from turpentine.core.safe_text import safe_name

_KEY = "turpentine"
_DIGITS = 8


@dataclass(frozen=True)
class PictureFile:
    """A picture to draw.

    Attributes:
        path: Of its PNG file.
        prompt: Of the picture.
        seed: Of the picture.
        recipe: All that decides its pixels, as JSON has it; the model by its whole description.
        beside: The file that would have its name, and holds a picture that was made otherwise; None if there is none.
    """

    path: Path
    prompt: str
    seed: int
    recipe: dict[str, Any]
    beside: Path | None = None

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

    def read(self) -> Image.Image:
        """Return the picture in the file."""
        return read_picture(self.path)

    def write(self, image: Image.Image) -> None:
        """Write the file, whole or not at all."""
        record = {"key": digest(self.recipe), "sha256": digest_images([image]), "recipe": self.recipe}
        info = PngInfo()
        info.add_itxt(_KEY, json.dumps(record))
        with write_whole(self.path) as aside:
            image.save(aside, format="PNG", pnginfo=info)


def planned(prompts: Sequence[str], seeds: Sequence[int], folder: Path, settings: dict[str, Any]) -> list[PictureFile]:
    """Return a picture for each prompt with each seed, named after them.

    Names leave out punctuation and capitals. Where the name is that of a picture that was made otherwise, in the folder
    or in this list, the new one's has the first digits of its recipe's SHA-256 too: nothing is ever replaced.

    Args:
        prompts: Each once.
        seeds: Of each prompt.
        folder: For the files.
        settings: What decides the pixels beside prompt and seed, in types of JSON.
    """
    pictures: dict[Path, PictureFile] = {}
    for prompt in prompts:
        for seed in seeds:
            picture = _named(folder, prompt, seed, {"prompt": prompt, "seed": seed, **settings}, pictures)
            pictures[picture.path] = picture
    return list(pictures.values())


def _named(folder: Path, prompt: str, seed: int, recipe: dict[str, Any], others: Collection[Path]) -> PictureFile:
    stem = f"{safe_name(prompt)}-seed{seed}"
    plain_path, own = folder / f"{stem}.png", folder / f"{stem}-{digest(recipe)[:_DIGITS]}.png"
    record = _record_in(plain_path) if plain_path.exists() else None
    if record is not None and record.get("key") != digest(recipe):
        return PictureFile(own, prompt, seed, recipe, beside=plain_path)
    return PictureFile(own if plain_path in others else plain_path, prompt, seed, recipe)


def differences(picture: PictureFile) -> list[str]:
    """Return in what a picture differs from the one that has its name, such as "steps"; [] where there is none."""
    recipe = (_record_in(picture.beside) or {}).get("recipe") if picture.beside else None
    if not isinstance(recipe, dict):
        return []
    return [name for name in picture.recipe if picture.recipe[name] != recipe.get(name)]


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
    return [path for path in pictures_in(folder) if path.name != SHEET]
