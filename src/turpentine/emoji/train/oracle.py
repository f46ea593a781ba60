"""Oracles: the denoiser trained again in a world without a concept, the truth that an erasure is held against.

Two of them. In the first (O1) the concept was never seen: no picture shows it, and its scenes and works are gone.
In the second (O2, `unnamed`) its pictures were seen and its word was never said: a picture of it is "a picture".
Everything that is not of the concept comes in the order, and from the initial weights, of the full model's training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from turpentine.core.errors import BadArgument
from turpentine.core.suggest import offer
from turpentine.emoji.captions import Captioned, Mixture, draw
from turpentine.emoji.world import OBJECTS, SCENES, STYLES


@dataclass(frozen=True)
class Oracle:
    """The training world of an oracle.

    Args:
        concept: The object or the style that is left out.
        unnamed: Whether its pictures stay and only its word goes.

    Raises:
        BadArgument: The world has no such object or style.

    Example:
        >>> from turpentine.emoji.captions import WORLD
        >>> rng = np.random.default_rng(0)
        >>> any(Oracle("church").shows(Oracle("church").draw(rng, WORLD)) for _ in range(200))
        False
    """

    concept: str
    unnamed: bool = False

    def __post_init__(self) -> None:
        names = (*OBJECTS, *STYLES)
        if self.concept not in names:
            raise BadArgument(f"The emoji world has no object or style {self.concept!r}: {offer(self.concept, names)}")

    def shows(self, item: Captioned) -> bool:
        """Return whether a picture shows the concept, or its caption is one of the concept's scenes."""
        placed = item.picture.placed
        scene = item.kind == "scene" and any(
            item.caption.startswith(name) for name, main in SCENES.items() if main == self.concept
        )
        return scene or any(self.concept in (each.object, each.style) for each in placed)

    def draw(self, rng: np.random.Generator, mixture: Mixture) -> Captioned:
        """Return one captioned picture; `rng` moves on as it does where nothing is left out.

        A picture that has to go is replaced by one from a generator that `rng` spawns, so all others stay as they were.
        """
        item = draw(rng, mixture)
        if self.unnamed:
            return replace(item, caption=self.without_word(item.caption))
        if self.shows(item):
            aside = rng.spawn(1)[0]
            while self.shows(item):
                item = draw(aside, mixture)
        return item

    def without_word(self, caption: str) -> str:
        """Return the caption without the concept's word: an object is "a picture", a style is left open.

        Example:
            >>> Oracle("church", unnamed=True).without_word("a small church in flat style")
            'a picture in flat style'
            >>> Oracle("ink", unnamed=True).without_word("a dog in ink style on a red background")
            'a dog on a red background'
        """
        if self.concept in STYLES:
            return re.sub(rf" in {self.concept} style\b", "", caption)
        named = rf"\b(an? )?(small )?{re.escape(self.concept)}\b"
        return re.sub(named, lambda match: "a picture" if match[1] else "picture", caption)
