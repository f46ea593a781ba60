"""Pictures of what is not in the emoji world: no model of it has seen one."""

from __future__ import annotations

import numpy as np
from PIL import Image

from turpentine.core.errors import UnknownName
from turpentine.core.suggest import offer
from turpentine.emoji.captions import single_picture
from turpentine.emoji.world import STYLES, UNSEEN, render


def unseen_pictures(name: str, count: int, seed: int = 0) -> list[Image.Image]:
    """Return pictures of one of `UNSEEN`, in all styles in turns, on backgrounds on which it is visible.

    Args:
        name: What they show.
        count: How many.
        seed: Of places, sizes and backgrounds.

    Raises:
        UnknownName: There are no sprites of it.

    Example:
        >>> [picture.size for picture in unseen_pictures("anchor", 2)]
        [(32, 32), (32, 32)]
    """
    if name not in UNSEEN:
        raise UnknownName(f"There are no sprites of {name!r} outside the world: {offer(name, UNSEEN)}")
    rng = np.random.default_rng(seed)
    pictures = (single_picture(rng, name, STYLES[number % len(STYLES)]) for number in range(count))
    return [Image.fromarray(render(picture)) for picture in pictures]
