"""What to offer where a name is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def offer(name: object, known: Iterable[str]) -> str:
    """The known names nearest to one that is not, as the end of a sentence; all of them where none is near.

    Such as "did you mean 'church'?" or "there are ddim, dpm, euler.".
    """
    names = list(known)
    near = get_close_matches(str(name), names, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"there are {', '.join(names)}." if names else "there is none."
