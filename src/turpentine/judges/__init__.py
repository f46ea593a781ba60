"""Judges: plug-ins that score pictures, one row of a table for each picture."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import plugin_exports

if TYPE_CHECKING:
    from turpentine.judges.base import Column, Judge
    from turpentine.judges.emoji_judge import EmojiJudge
    from turpentine.judges.registry import judge, names, settings_for
    from turpentine.judges.statistics import PictureStatistics

__all__ = ["Column", "EmojiJudge", "Judge", "PictureStatistics", "judge", "names", "settings_for"]

__getattr__, __dir__ = plugin_exports(__name__, "judge")
