"""Parts of long work in a folder, by key: the one way in which anything goes on after a kill."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload, runtime_checkable

from turpentine.core.atomic_files import discard, write_text_whole, write_whole
from turpentine.core.errors import EditError, NewerFormat
from turpentine.core.hashing import digest, digest_bytes

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

    Tensors = Mapping[str, Tensor]
else:  # who only looks for a part imports no torch
    Tensors = Mapping[str, Any]

T = TypeVar("T")
Key = TypeVar("Key")


class DamagedPart(UserWarning):
    """A part could not be read back; it is computed anew."""


@runtime_checkable
class Codec(Protocol[T]):
    """How values of one type are kept in files that carry their own SHA-256.

    Attributes:
        suffix: What file names end with.
    """

    suffix: str

    def write(self, path: Path, value: T, facts: Mapping[str, Any]) -> None:
        """Write a value and facts about it, whole or not at all.

        Raises:
            OSError: The file system refuses.
        """
        ...

    def read(self, path: Path) -> T | None:
        """Return the value, or None where a byte of the file is not as it was written, or its name is another."""
        ...


class _TensorFiles:
    """Mappings of names to tensors, as sealed safetensors files; they are read to the CPU."""

    suffix = ".safetensors"

    def write(self, path: Path, value: Tensors, facts: Mapping[str, Any]) -> None:
        from turpentine.core.sealed import write_sealed

        write_sealed(path, value, {"name": path.name, **facts}, "part")

    def read(self, path: Path) -> Tensors | None:
        from turpentine.core.sealed import read_sealed

        try:
            tensors, record = read_sealed(path, "part")
        except NewerFormat:
            raise
        except EditError:
            return None
        return tensors if record.get("name") == path.name else None


class _TableFiles:
    """Polars tables, as parquet files whose metadata has the SHA-256 of the file with _BLANK in its place."""

    suffix = ".parquet"

    def write(self, path: Path, value: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        buffer = io.BytesIO()  # polars has errors of its own for what a file system refuses
        value.write_parquet(buffer, metadata={_NAME: path.name, _SEAL: _BLANK})
        content = buffer.getvalue()
        with write_whole(path) as aside:
            aside.write_bytes(_with_seal(content, digest_bytes(content)))

    def read(self, path: Path) -> pl.DataFrame | None:
        import polars as pl

        content = verified_table(path)
        return None if content is None else pl.read_parquet(content)


class _RecordFiles:
    """JSON values, as JSON files."""

    suffix = ".part.json"

    def write(self, path: Path, value: Any, facts: Mapping[str, Any]) -> None:
        content = {"name": path.name, **facts, "value": value}
        write_text_whole(path, json.dumps({**content, "sha256": digest(content)}, indent=1))

    def read(self, path: Path) -> Any | None:
        try:
            content = json.loads(path.read_bytes())
            is_whole = content.pop("sha256") == digest(content) and content["name"] == path.name
            return content["value"] if is_whole else None
        except (ValueError, LookupError, TypeError, AttributeError):
            return None


TENSORS: Codec[Tensors] = _TensorFiles()
TABLES: Codec[pl.DataFrame] = _TableFiles()
RECORDS: Codec[Any] = _RecordFiles()


class Parts(Generic[T]):
    """Values by key in a folder, a file each, that appear whole or not at all and are checked when they are read.

    A file's name is made from what all parts have in common and from the part's key, so that parts of something else
    are other files and may lie in the same folder. A part whose file is damaged is removed with one warning, and counts
    as one that is not there: whoever needs it computes it anew. Any number of processes may use a folder at once.

    Args:
        folder: Where; made with the first part. With None nothing is stored.
        about: All that decides the values beside their keys, as JSON has it: such as a model's description, a method's
            settings, a judge's revision.
        codec: For values of which type: TENSORS, TABLES or RECORDS.

    Example:
        >>> import tempfile, torch
        >>> parts = Parts(Path(tempfile.mkdtemp()), about=["squares", {"revision": 1}])
        >>> parts.part(3, lambda: {"x": torch.tensor(9)})["x"].item()
        9
        >>> parts.part(3, lambda: {"x": torch.tensor(0)})["x"].item()  # it is there already
        9
    """

    @overload
    def __init__(self: Parts[Tensors], folder: str | os.PathLike[str] | None, about: Any) -> None: ...

    @overload
    def __init__(self, folder: str | os.PathLike[str] | None, about: Any, codec: Codec[T]) -> None: ...

    def __init__(self, folder: str | os.PathLike[str] | None, about: Any, codec: Codec[Any] = TENSORS) -> None:
        self.folder = Path(folder) if folder is not None else None
        self.about = _plain(about)
        self._codec: Codec[T] = codec
        self._prefix = f"{digest(self.about)[:16]}-"

    def part(self, key: Any, make: Callable[[], T]) -> T:
        """Return the value of a key, computing and storing it with `make` if it is absent.

        Args:
            key: Of the part, as JSON has it: all that decides it beside `about`.
            make: Computes the value.

        Raises:
            OSError: As the file system does.
        """
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    def get(self, key: Any) -> T | None:
        """Return the value of a key, or None where there is none, or where its file is damaged, of which is warned."""
        if self.folder is None:
            return None
        path = self.path(key)
        value = read_part(path, self._codec)
        if value is None and path.is_file():
            discard_damaged(path)
        return value

    def put(self, key: Any, value: T) -> None:
        """Store a value, in the place of one of the same key.

        Raises:
            OSError: The file system refuses.
        """
        if self.folder is not None:
            self._codec.write(self.path(key), value, {"about": self.about, "key": _plain(key)})

    def discard(self, key: Any) -> None:
        """Remove the part of a key, if it is there."""
        if self.folder is not None:
            self.path(key).unlink(missing_ok=True)

    def within(self, facts: Any) -> Parts[T]:
        """Return those parts in the same folder that have something more in common, as JSON has it."""
        return Parts(self.folder, [self.about, facts], self._codec)

    def clear(self) -> None:
        """Remove all parts of this `about`, what a kill left of them, and then the folder if it is empty."""
        if self.folder is not None:
            discard(self.folder, f"{self._prefix}*{self._codec.suffix}")

    def __contains__(self, key: Any) -> bool:
        """Return whether there is a file of this key, be it damaged or not."""
        return self.folder is not None and self.path(key).is_file()

    def present(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of many keys that have a file, by one look into the folder."""
        names = self._names()
        return {key for key in keys if self._name(key) in names} if names else set()

    def path(self, key: Any) -> Path:
        """Return where the part of a key is, or would be."""
        assert self.folder is not None
        return self.folder / self._name(key)

    def _name(self, key: Any) -> str:
        # A digest names its part as it is: a bench looks for tens of thousands of them again and again.
        name = key if isinstance(key, str) and len(key) == _DIGITS and set(key) <= _HEXADECIMAL else digest(_plain(key))
        return f"{self._prefix}{name}{self._codec.suffix}"

    def _names(self) -> set[str]:
        if self.folder is None:
            return set()
        try:
            with os.scandir(self.folder) as entries:
                return {entry.name for entry in entries}
        except FileNotFoundError:
            return set()


def parts_in(folder: Path, codec: Codec[T]) -> Iterator[tuple[Path, T]]:
    """Return each part in a folder with its file, whatever it is about; damaged ones are removed with a warning."""
    for path in sorted(folder.glob(f"[0-9a-f]*{codec.suffix}")):
        value = read_part(path, codec)
        if value is not None:
            yield path, value
        elif path.is_file():
            discard_damaged(path)


def read_part(path: Path, codec: Codec[T]) -> T | None:
    """Return what a file holds, None where there is none or it is damaged.

    Raises:
        OSError: The file system refuses.
    """
    if not path.is_file():
        return None
    try:
        return codec.read(path)
    except FileNotFoundError:  # another process has removed it since
        return None


def discard_damaged(path: Path) -> None:
    """Remove the file of a part that cannot be read back, and warn of it once."""
    path.unlink(missing_ok=True)
    warnings.warn(f"{path} is damaged: it is computed anew.", DamagedPart, stacklevel=3)


def verified_table(path: Path) -> bytes | None:
    """Return the bytes of a parquet part, or None where they are not as they were written."""
    content = path.read_bytes()
    place = content.rfind(_SEAL.encode())
    if place < 0 or path.name.encode() not in content:
        return None
    start = place + len(_SEAL) + 2  # the type and the length of what the metadata says
    seal, end = content[start : start + _DIGITS], start + _DIGITS
    is_whole = digest_bytes(content[:start], _BLANK.encode(), content[end:]).encode() == seal
    return content if is_whole else None


def _with_seal(content: bytes, seal: str) -> bytes:
    before, _, after = content.rpartition(_BLANK.encode())  # the metadata come last in the file
    return before + seal.encode() + after


def _plain(content: Any) -> Any:
    """Return content as JSON gives it back: tuples as lists, and what JSON lacks by how it prints."""
    return json.loads(json.dumps(content, default=str))


_DIGITS = 64
_HEXADECIMAL = frozenset("0123456789abcdef")
_NAME, _SEAL = "turpentine.part", "turpentine.sha256"
_BLANK = "the SHA-256 of this file, with this text in its own place".ljust(_DIGITS, "_")
