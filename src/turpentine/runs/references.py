"""Real pictures that sets of pictures are held against: which they are, and what judges see in them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest, digest_file
from turpentine.core.imaging import pictures_in, read_picture
from turpentine.core.progress import Progress
from turpentine.core.safe_text import one_line

if TYPE_CHECKING:  # these bring torch, and a folder that cannot be is refused before
    from turpentine.judges import Judge
    from turpentine.runs.specs import JudgeSpec
    from turpentine.runs.store import Store

FEWEST = 2
"""Pictures that a set needs for its distance from another one."""

_BATCH = 32


@dataclass(frozen=True)
class ReferenceSet:
    """The pictures of a folder as a value: how many they are, and which, whatever their names.

    Attributes:
        folder: Where they are.
        pictures: How many.
        sha256: SHA-256 of the contents of all files.
    """

    folder: str
    pictures: int
    sha256: str

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> ReferenceSet:
        """Return the value of a folder's pictures; those in folders within it are no part of it.

        Args:
            folder: Its path.

        Raises:
            BadArgument: There is no such folder, or it has too few pictures, or one cannot be read.
        """
        digests = [content for content, _ in _contents(folder)]
        return cls(os.fspath(folder), len(digests), digest(digests))

    @property
    def facts(self) -> dict[str, Any]:
        """What two measurements must share to be compared, in types of JSON: all but where the pictures are."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    def paths(self) -> list[Path]:
        """Return the files, in the order of their contents.

        Raises:
            BadArgument: The folder holds other pictures now than when the work was planned.
        """
        contents = _contents(self.folder)
        if digest([content for content, _ in contents]) != self.sha256:
            raise BadArgument(
                f"{one_line(self.folder)} holds other pictures now than when the work was planned: put the old ones "
                "back, or begin anew."
            )
        return [path for _, path in contents]


def reference_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the pictures of a folder that others are to be held against, without reading them.

    Args:
        folder: Its path.

    Raises:
        BadArgument: There is no such folder, or it has too few pictures.
    """
    name, path = one_line(os.fspath(folder)), Path(folder)
    if not path.is_dir():
        raise BadArgument(f"There is no folder of reference pictures {name}: give one that holds real pictures.")
    files = pictures_in(path)
    if len(files) < FEWEST:
        count = f"{len(files)} picture" if len(files) == 1 else f"{len(files) or 'no'} pictures"
        raise BadArgument(
            f"The folder of reference pictures {name} holds {count}, and a distance needs {FEWEST} at least: give "
            "more, as many as are drawn if there are."
        )
    return files


def reference_text(facts: Mapping[str, Any]) -> str:
    """Return the facts of a set as a page shows them.

    Example:
        >>> reference_text({"pictures": 500, "sha256": "ab" * 32})
        '500 real pictures (abababababab)'
    """
    return f"{facts['pictures']} real pictures ({facts['sha256'][:12]})"


def judge_references(
    references: ReferenceSet, judges: Mapping[JudgeSpec, Judge], store: Store, progress: Progress | None = None
) -> None:
    """Have judges look at reference pictures, a batch at a time; what is in the store is not done again.

    Args:
        references: The pictures.
        judges: Who looks at them.
        store: Where the scores are put.
        progress: Called with pictures done and in all, over all judges.

    Raises:
        BadArgument: The folder holds other pictures by now, one cannot be read, or a judge cannot judge them.
    """
    keys = _keys(references)
    missing = {spec: [key for key in keys if key not in store.scores(spec)] for spec in judges}
    total = done = len(judges) * references.pictures
    if not any(missing.values()):
        return
    paths = dict(zip(keys, _batches(references.paths()), strict=True))
    done -= sum(len(paths[key]) for own in missing.values() for key in own)
    for spec, own in missing.items():
        _check_needs(spec)
        for key in own:
            store.scores(spec).put(key, _scores(judges[spec], spec, paths[key]))
            done += len(paths[key])
            if progress:
                progress(done, total)


def reference_rows(references: ReferenceSet, judges: Collection[JudgeSpec], store: Store) -> pl.DataFrame:
    """Return what judges see in reference pictures: a row for each, with a label and a prompt as drawn pictures have.

    Args:
        references: The pictures.
        judges: Who looked at them.
        store: Where the scores are.

    Raises:
        LostPart: Scores are missing, or were damaged and have been removed.
    """
    keys = _keys(references)
    names = pl.DataFrame({"label": "reference", "prompt": [str(number) for number in range(references.pictures)]})
    parts = [store.scores(spec).gather(keys).drop("error") for spec in judges]
    return pl.concat([names, *parts], how="horizontal")


def _contents(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Return the SHA-256 of each picture with its path, in order."""
    try:
        return sorted((digest_file(path), path) for path in reference_files(folder))
    except OSError as error:
        raise BadArgument(f"{one_line(str(error.filename))} cannot be read: {error.strerror}.") from error


def _keys(references: ReferenceSet) -> list[str]:
    return [digest(["references", references.sha256, start]) for start in range(0, references.pictures, _BATCH)]


def _batches(paths: Sequence[Path]) -> list[Sequence[Path]]:
    return [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]


def _check_needs(spec: JudgeSpec) -> None:
    if spec.needs:
        needed = " and ".join(sorted(spec.needs))
        raise BadArgument(f"The judge {spec.name} needs a {needed} with each picture, which real pictures lack.")


def _scores(judge: Judge, spec: JudgeSpec, paths: Sequence[Path]) -> pl.DataFrame:
    from turpentine.judges.worlds import check_world, title_of, world_of_image, world_of_judge

    images = [read_picture(path) for path in paths]
    title = title_of(spec.facts["name"], spec.facts["settings"])
    for path, image in zip(paths, images, strict=True):
        what = f"the picture {path.name} of {image.width} x {image.height} px"
        check_world(title, world_of_judge(judge), world_of_image(image), what)
    return judge(images).with_columns(error=pl.lit(None, dtype=pl.String))
