"""What a run has got so far, on disk, in parts by key: a run that was killed goes on from there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from turpentine.errors import TurpentineError
from turpentine.files import write_whole


class LedgerError(TurpentineError):
    """A part of a ledger cannot be read."""


class Ledger:
    """Tables by key in a folder, a parquet file each, that appear whole or not at all.

    folder: made with the first part. Keys are file names without an ending; see `turpentine.files.safe_name`.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def __iter__(self) -> Iterator[str]:
        """The keys, sorted."""
        return iter(sorted(path.stem for path in self.folder.glob("*.parquet") if not path.name.startswith(".")))

    def get(self, key: str) -> pl.DataFrame | None:
        """The part of this key, None if there is none. Raises LedgerError if it cannot be read."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            return pl.read_parquet(path)
        except PolarsError as error:
            raise LedgerError(f"{path} is damaged: remove it and run again, and it is made anew.") from error

    def put(self, key: str, part: pl.DataFrame) -> None:
        """Keep a part, in the place of one of the same key. Raises OSError as the file system does."""
        with write_whole(self._path(key)) as aside:
            part.write_parquet(aside)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.parquet"
