"""Tables in a folder by key, gathered by the thousand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from polars.exceptions import PolarsError

from turpentine.core.errors import TurpentineError
from turpentine.core.parts import TABLES, Parts, discard_damaged, verified_table

Result = TypeVar("Result")


class LedgerError(TurpentineError):
    """Something in the folder of a bench is missing or cannot be read."""


class LostPart(LedgerError):
    """A part is missing, or was damaged and has been removed: the same run, going on, makes it anew."""


class Ledger(Parts[pl.DataFrame]):
    """Tables in a folder, each whole or not at all; see `Parts`.

    Args:
        folder: Made with the first part.
        about: What all parts have in common, in types of JSON.
    """

    def __init__(self, folder: str | os.PathLike[str], about: Any) -> None:
        super().__init__(folder, about, TABLES)

    def gather(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return the rows of many parts, in the keys' order.

        Raises:
            LostPart: Parts are missing, or were damaged and have been removed; the first is named.
            LedgerError: Two parts have different columns.
        """
        some = [keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE)]
        try:
            return pl.concat([self._rows(each) for each in some])
        except PolarsError:
            self._check_columns(keys)
            raise

    def _rows(self, keys: Sequence[str]) -> pl.DataFrame:
        contents = {key: _content(self.path(key)) for key in keys}
        lost = [key for key, content in contents.items() if content is None]
        if lost:
            raise LostPart(f"{self.path(lost[0])} is missing: run again, and it is made anew.")
        return pl.read_parquet([content for key in keys if (content := contents[key]) is not None])

    def _check_columns(self, keys: Sequence[str]) -> None:
        paths = [self.path(key) for key in keys]
        schemas = [pl.read_parquet_schema(path) for path in paths]
        for path, schema in zip(paths, schemas, strict=True):
            if schema != schemas[0]:
                raise LedgerError(
                    f"{paths[0]} and {path} have different columns, so another version wrote one of them: remove both "
                    "and run again, and they are made anew."
                )


def _content(path: Path) -> bytes | None:
    """Return a part's bytes, None where it is missing or damaged."""
    try:
        content = verified_table(path)
    except FileNotFoundError:
        return None
    if content is None:
        discard_damaged(path)
    return content


def until_whole(work: Callable[[], object], collect: Callable[[], Result]) -> Result:
    """Work and return what is collected then; where a part turns out damaged, work again to make it anew.

    Raises:
        LostPart: Parts are lost again and again.
    """
    for _ in range(_TRIES - 1):
        work()
        with suppress(LostPart):
            return collect()
    work()
    return collect()


# Collecting that may find damaged parts: each time all of them in a folder are removed, so few are enough.
_TRIES = 5

# Files read in one go: for tens of thousands polars takes twice the memory.
_AT_ONCE = 1000
