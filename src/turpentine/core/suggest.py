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
    nearest = get_close_matches(str(name), names, n=3, cutoff=0.6)
    if nearest:
        return f"did you mean {' or '.join(map(repr, nearest))}?"
    return f"there are {', '.join(names)}." if names else "there is none."
