"""The emoji world's judge, let loose on toys: what it says of them means nothing, and is the same each time."""

from __future__ import annotations

from typing import Any, ClassVar

from turpentine.judges import EmojiJudge


class WorldlessJudge(EmojiJudge):
    """Judges pictures of any model."""

    world: ClassVar[Any] = None
