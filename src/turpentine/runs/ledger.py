"""What a run has got so far, on disk, in parts by key: a run that was killed goes on from there."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import TurpentineError


class LedgerError(TurpentineError):
    """A part of a ledger is missing or cannot be read."""


class Ledger:
    """Tables by key in a folder, a parquet file each, that appear whole or not at all.

    folder: made with the first part. Keys are file names without an ending; see
    `turpentine.core.atomic_files.safe_name`.
    columns: what every part has, at least.
    """

    def __init__(self, folder: str | os.PathLike[str], columns: Collection[str] = ()) -> None:
        self.folder = Path(folder)
        self._columns = frozenset(columns)

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def __iter__(self) -> Iterator[str]:
        """The keys, sorted."""
        return iter(sorted(self.keys()))

    def keys(self) -> set[str]:
        """The keys, by one look into the folder."""
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except FileNotFoundError:
            return set()
        return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")}

    def get(self, key: str) -> pl.DataFrame | None:
        """The part of this key, None if there is none. Raises LedgerError if it cannot be read or lacks a column."""
        path = self.path(key)
        if not path.is_file():
            return None
        try:
            part = pl.read_parquet(path, glob=False)
        except PolarsError as error:
            raise LedgerError(f"{path} is damaged: remove it and run again, and it is made anew.") from error
        lacking = sorted(self._columns - set(part.columns))
        if lacking:
            raise LedgerError(
                f"{path} has no {', '.join(lacking)}, so another version wrote it: remove it and run again, "
                "and it is made anew."
            )
        return part

    def gather(self, keys: Sequence[str]) -> pl.DataFrame:
        """The rows of many parts, in the keys' order.

        Raises LedgerError, naming a part that is missing, damaged, or of other columns than the first.
        """
        paths = [self.path(key) for key in keys]
        some = [paths[first : first + _AT_ONCE] for first in range(0, len(paths), _AT_ONCE)]
        try:
            parts = pl.concat([pl.read_parquet(each, glob=False) for each in some])
        except (PolarsError, OSError):
            return self._one_by_one(keys)
        return parts if self._columns <= set(parts.columns) else self._one_by_one(keys)

    def put(self, key: str, part: pl.DataFrame) -> None:
        """Keep a part, in the place of one of the same key. Raises OSError as the file system does."""
        write_table(self.path(key), part)

    def remove(self, key: str) -> None:
        """Forget a part, if it is there."""
        self.path(key).unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Where a part is, or would be."""
        return self.folder / f"{key}{_SUFFIX}"

    def _one_by_one(self, keys: Sequence[str]) -> pl.DataFrame:
        """The same rows, slower, so that the part is known where something is wrong."""
        parts = [self._needed(key) for key in keys]
        for key, part in zip(keys, parts, strict=True):
            if part.schema != parts[0].schema:
                raise LedgerError(
                    f"{self.path(keys[0])} and {self.path(key)} have different columns, so another version wrote one "
                    "of them: remove both and run again, and they are made anew."
                )
        return pl.concat(parts)

    def _needed(self, key: str) -> pl.DataFrame:
        part = self.get(key)
        if part is None:
            raise LedgerError(f"{self.path(key)} is missing: run again, and it is made anew.")
        return part


def write_table(path: Path, table: pl.DataFrame) -> str:
    """Write a table as a parquet file, whole or not at all, and give its SHA-256.

    Raises OSError as the file system does.
    """
    buffer = io.BytesIO()  # polars has errors of its own for what a file system refuses
    table.write_parquet(buffer)
    with write_whole(path) as aside:
        aside.write_bytes(buffer.getbuffer())
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


_SUFFIX = ".parquet"

# Files read in one go: for tens of thousands polars takes twice the memory.
_AT_ONCE = 1000
