"""Suggest names in the place of an unknown one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def offer(name: object, options: Iterable[str]) -> str:
    """Return the end of an error's sentence: the options nearest to an unknown name, or all if none is near.

    Example:
        >>> offer("chruch", ["church", "dog"])
        "did you mean 'church'?"
        >>> offer("plms", ["ddim", "dpm", "euler"])
        'there are ddim, dpm, euler.'
    """
    names = list(options)
    close = nearest(name, names)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {', '.join(names)}." if names else "there is none."


def nearest(name: object, options: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Return up to three options that are spelt much like a name, the nearest first.

    Args:
        name: As it was written.
        options: What it may have been meant for.
        cutoff: How alike they must be, by difflib's ratio; near 1 for one slip of the finger.

    Example:
        >>> nearest("chruch", ["church", "dog"])
        ['church']
    """
    return get_close_matches(str(name), list(options), n=3, cutoff=cutoff)
