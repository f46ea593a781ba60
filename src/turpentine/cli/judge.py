"""`turpentine judge`: what a judge sees in pictures."""

from __future__ import annotations

from pathlib import Path

from turpentine.cli.generate import SHEET
from turpentine.cli.options import Json
from turpentine.cli.pictures import read_picture
from turpentine.cli.terminal import plain, say_json, show_table
from turpentine.errors import BadArgument

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}


def judge(*pictures: Path, json: Json = False) -> None:
    """Say what the judge of the emoji world sees in pictures: object, style, background colour, and its certainty.

    pictures: files, or folders of them.
    json: print one JSON document.
    """
    paths = [path for given in pictures for path in _files(given)]
    if not paths:
        raise BadArgument("There is no picture to judge: give picture files, or folders that hold some.")
    images = [read_picture(path) for path in paths]
    from turpentine.judges.emoji import EmojiJudge

    rows = EmojiJudge()(images).to_dicts()
    if json:
        say_json([{"path": str(path), **row} for path, row in zip(paths, rows, strict=True)])
    else:
        shown = [[plain(path.name), *map(_cell, row.values())] for path, row in zip(paths, rows, strict=True)]
        show_table(["picture", *rows[0]], shown)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = sorted(path.iterdir())
    return [each for each in inside if each.suffix.lower() in _SUFFIXES and each.name != SHEET]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
