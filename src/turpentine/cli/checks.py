"""What can be refused before torch is imported, which takes seconds: places, devices, judges and words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from turpentine.cli.fetching import agree_to_fetch
from turpentine.cli.terminal import plain
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.emoji import BUILT, WORLD

if TYPE_CHECKING:
    from turpentine.judges import Judge

_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|hpu|npu|xla)(:\d{1,3})?")


def check_device(name: str | None) -> None:
    """Check that a text can be a device's name.

    Raises:
        BadArgument: It cannot.
    """
    if name is not None and not _DEVICE.fullmatch(name):
        raise no_device(name)


def no_device(name: str) -> BadArgument:
    """Return the error for a device that is not here."""
    return BadArgument(f"There is no device {name!r} here: leave out --device, or give cpu.")


def check_guidance_scale(scale: float | None, flag: str = "--guidance-scale") -> None:
    """Check that a guidance scale is a number where one is given.

    Args:
        scale: How strongly a prompt guides.
        flag: By which it was given.

    Raises:
        BadArgument: It is NaN or infinite.
    """
    if scale is not None and not math.isfinite(scale):
        raise BadArgument(f"{flag} is {scale}: give a finite number.")


def check_folder(folder: Path) -> None:
    """Check that files can be written in a folder, before long work is done for them; nothing is left there.

    Raises:
        BadArgument: It is a file, lies inside of one, or cannot be written to.
    """
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise BadArgument(f"{plain(str(nearest))} is a file: choose another folder with --out.")
    try:
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise BadArgument(
            f"Nothing can be written to {plain(str(folder))}: choose another folder with --out."
        ) from error


def check_lists_alone(given: object) -> None:
    """Check that nothing stands beside a flag that lists what there is, which would be passed over.

    Args:
        given: What the command would work on.

    Raises:
        BadArgument: There is something.
    """
    if given is not None:
        raise BadArgument(f"--list prints what there is and does nothing else: leave out {plain(str(given))}.")


def check_judge(name: str) -> None:
    """Check that a judge is called so, or that a network is where the name says.

    Raises:
        UnknownName: None is; the nearest are offered.
    """
    from turpentine.core.plugins import find
    from turpentine.judges.registry import is_network

    if not is_network(name):
        find(name, "judge")


def announce(judge: Judge) -> None:
    """Have somebody at a terminal agree to what must be fetched for a judge, once it is clear that the hub has it.

    Raises:
        BadArgument: They do not.
        ModelNotFound: The hub does not have it, or cannot be reached.
    """
    if not judge.download:
        return
    from turpentine.models.loading.hub import check_on_hub

    source = getattr(judge, "model", None)
    if isinstance(source, str):
        check_on_hub(source, revision=getattr(judge, "commit", None))
    agree_to_fetch(f"The judge {judge.name}", judge.download)


def check_words(texts: Iterable[str], model: str, *, force: bool | None) -> None:
    """Check that a model of the emoji world knows the words of concepts: what it draws for others is chance.

    Args:
        texts: Of the concepts.
        model: The model's name; the words of others are not known before they are loaded.
        force: Let them be, by `--force`; None where a command has no such flag.

    Raises:
        UnknownName: It does not know one; the nearest that it knows are offered.
    """
    if model not in (WORLD, *BUILT) or force:  # only the words of these are known before they are loaded
        return
    from turpentine.emoji.lexicon import unknown_words

    for text in texts:
        words = unknown_words(text)
        if words:
            way_out = "" if force is None else "; --force takes it as it is"
            raise UnknownName(
                f"The model {model} does not know {plain(text)!r}, and what it draws for it is chance: "
                f"{_alternatives(text, words)}{way_out}."
            )


def _alternatives(text: str, words: Iterable[str]) -> str:
    """Return the world's names nearest to a text, or to those of its words that are unknown; else some of all."""
    from turpentine.core.suggest import nearest
    from turpentine.emoji.lexicon import NAMES
    from turpentine.emoji.world import STYLES, TEN

    near = nearest(text.lower(), NAMES) or [name for word in words for name in nearest(word, NAMES)]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}"
    styles = " and ".join(STYLES[-2:])
    return f"it knows objects such as {', '.join(TEN)}, and styles such as {styles}, see turpentine world"
