"""Judges turn pictures into rows of scores, and say what makes their numbers comparable."""

from turpentine.judges.base import Column, Judge
from turpentine.judges.emoji_judge import EmojiJudge
from turpentine.judges.registry import judge, names
from turpentine.judges.statistics import PictureStatistics

__all__ = ["Column", "EmojiJudge", "Judge", "PictureStatistics", "judge", "names"]
