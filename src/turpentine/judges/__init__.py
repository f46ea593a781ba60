"""Judges turn pictures into rows of scores, and say what makes their numbers comparable."""

from turpentine.judges.base import Judge
from turpentine.judges.emoji import EmojiJudge
from turpentine.judges.statistics import PictureStatistics

__all__ = ["EmojiJudge", "Judge", "PictureStatistics"]
