"""The items of a study: pictures with what is known of them and no rater sees."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.study.pictures import Still, stills_in
from turpentine.study.spec import (
    Examples,
    FolderPictures,
    Pictures,
    Role,
    RunPictures,
    StudySpec,
    TablePictures,
    WorldExamples,
    WorldPictures,
)

ORIGINAL = "original"
_NEEDED = ("file", "condition", "subject")
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True, eq=False)
class StudyItem:
    """A picture to be rated.

    Attributes:
        still: The picture.
        condition: What drew it, such as "uce"; no rater sees that.
        subject: What questions are about.
        erased: What the model was to forget; "" for nothing.
        prompt: That it was drawn for; "" where nobody knows.
        seed: That it was drawn from; None where nobody knows.
        judged: Does the judge say that it shows the subject? None where it was not asked.
        judge: Which judge.
        role: edited, or a control.
    """

    still: Still
    condition: str
    subject: str
    erased: str = ""
    prompt: str = ""
    seed: int | None = None
    judged: bool | None = None
    judge: str = ""
    role: Role = "edited"

    @cached_property
    def id(self) -> str:
        """What tells it from others: the first 16 characters of a SHA-256."""
        return digest([self.still.id, self.condition, self.subject, self.erased, self.prompt, self.seed])[:16]

    @property
    def is_about_its_subject(self) -> bool:
        """Is it a control, or of a model that was to forget the subject? Else it is one that should be as it was."""
        return self.erased in ("", self.subject)


def items_of(spec: StudySpec, folder: Path) -> tuple[StudyItem, ...]:
    """Return all items of a plan, each once, in the order of its sources.

    Args:
        spec: The plan.
        folder: Where its paths start.

    Raises:
        BadArgument: A source is not there or holds no pictures, or a role is of a condition that is not there.
    """
    items: dict[str, StudyItem] = {}
    for source in spec.items:
        for item in _from_source(source, folder):
            role = spec.roles.get(item.condition, item.role)
            whole = StudyItem(**{**_fields(item), "role": role})
            items.setdefault(whole.id, whole)
    conditions = {item.condition for item in items.values()}
    for name in spec.roles:
        if name not in conditions:
            raise BadArgument(f"roles: there are no pictures of {name!r}, only of {', '.join(sorted(conditions))}.")
    return tuple(items.values())


def examples_of(examples: Examples | None, subjects: Sequence[str], folder: Path) -> dict[str, list[Still]]:
    """Return the real pictures of each subject.

    Raises:
        BadArgument: A subject has none.
    """
    if examples is None:
        return {subject: [] for subject in subjects}
    pictures = {subject: _examples(examples, subject, folder) for subject in subjects}
    for subject, stills in pictures.items():
        if not stills:
            where = "the emoji world" if isinstance(examples, WorldExamples) else str(folder / examples.folder)
            raise BadArgument(f"There are no examples of {subject!r} in {where}: add some, or leave examples out.")
    return pictures


def _examples(examples: Examples, subject: str, folder: Path) -> list[Still]:
    from turpentine.study.hands import work_stills

    if isinstance(examples, WorldExamples):
        return work_stills(subject)
    return stills_in(folder / examples.folder / subject)


def _from_source(source: Pictures, folder: Path) -> list[StudyItem]:
    match source:
        case RunPictures():
            items, where = list(_from_run(source, folder)), source.run
        case FolderPictures():
            items, where = list(_from_folder(source, folder)), source.folder
        case TablePictures():
            items, where = list(_from_table(source, folder)), source.table
        case WorldPictures():
            items, where = list(_from_world(source)), source.world
    if not items:
        raise BadArgument(f"There are no pictures in {where}: draw some, or name another place.")
    return items


def _from_run(source: RunPictures, folder: Path) -> Iterator[StudyItem]:
    import polars as pl

    from turpentine.runs.images import images_of_run

    place = folder / source.run
    results = place / "results.parquet"
    if not results.is_file():
        raise BadArgument(f"There is no {results}: run the bench first, such as turpentine bench emoji-artists.")
    rows = pl.read_parquet(results).filter(pl.col("image").is_not_null())
    if source.groups is not None:
        rows = rows.filter(pl.col("group").is_in(source.groups))
    several = rows["model"].n_unique() > 1
    images = images_of_run(place)
    firsts: dict[tuple[Any, ...], set[int]] = {}
    for row in rows.iter_rows(named=True):
        seeds = firsts.setdefault((row["model"], row["method"], row["concept"], row["prompt"]), set())
        if source.seeds is not None and row["seed"] not in seeds and len(seeds) >= source.seeds:
            continue
        seeds.add(row["seed"])
        yield _run_item(row, source, Still(images.path(row["image"]), source.blur), several)


def _run_item(row: Mapping[str, Any], source: RunPictures, still: Still, several: bool) -> StudyItem:
    """Return the item of a row of a run's results; the unedited model's has nothing erased."""
    name = row["method"] or ORIGINAL
    is_edited = bool(row["method"])
    return StudyItem(
        still,
        f"{name} · {row['model']}" if several else name,
        _subject(row, source.subject),
        row["concept"] if is_edited else "",
        row["prompt"],
        row["seed"],
        row.get("hit"),
        source.judge,
        "edited" if is_edited else "original",
    )


def _subject(row: Mapping[str, Any], column: str) -> str:
    """Return what a question about a row's picture is about; where nothing is expected of it, what it is listed as."""
    return row.get(column) or (row["label"] if column == "expected" else "")


def _from_folder(source: FolderPictures, folder: Path) -> Iterator[StudyItem]:
    root = folder / source.folder
    if not root.is_dir():
        raise BadArgument(f"There is no folder {root}: make it, with pictures in CONDITION/SUBJECT/picture.png.")
    for condition in sorted(each for each in root.iterdir() if each.is_dir()):
        role: Role = "real" if condition.name == "real" else "similar" if condition.name == "similar" else "edited"
        for subject in sorted(each for each in condition.iterdir() if each.is_dir()):
            erased = subject.name if role == "edited" else ""
            for still in stills_in(subject, source.blur):
                yield StudyItem(still, condition.name, subject.name, erased, seed=_number_of(still), role=role)


def _number_of(still: Still) -> int | None:
    """Return the number that a picture's file is named by, which says which pictures of two conditions are a pair."""
    stem = still.source.stem if isinstance(still.source, Path) else ""
    return int(stem) if stem.isdecimal() else None


def _from_table(source: TablePictures, folder: Path) -> Iterator[StudyItem]:
    path = folder / source.table
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise BadArgument(f"{path}, line 1: there is no column {missing[0]!r}: give {', '.join(_NEEDED)}.")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no CSV file in UTF-8"
        raise BadArgument(f"{path} cannot be read: {why}.") from error
    for line, row in rows:
        yield _table_item(row, source, path, f"{path}, line {line}")


def _table_item(row: Mapping[str, Any], source: TablePictures, path: Path, place: str) -> StudyItem:
    values = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
    for name in _NEEDED:
        if not values[name]:
            raise BadArgument(f"{place}: {name} is empty: write one.")
    picture = path.parent / values["file"]
    if not picture.is_file():
        raise BadArgument(f"{place}: there is no picture {picture}.")
    seed = values.get("seed", "")
    if seed and not seed.isdecimal():
        raise BadArgument(f"{place}: the seed {seed!r} is no whole number.")
    return StudyItem(
        Still(picture, source.blur or _flag(values, "blur", place) is True),
        values["condition"],
        values["subject"],
        values.get("erased", ""),
        values.get("prompt", ""),
        int(seed) if seed else None,
        _flag(values, "judged", place),
        source.judge,
    )


def _flag(values: Mapping[str, str], name: str, place: str) -> bool | None:
    value = values.get(name, "").lower()
    if value and value not in (*_YES, *_NO):
        raise BadArgument(f"{place}: {name} is {value!r}: write yes or no.")
    return value in _YES if value else None


def _from_world(source: WorldPictures) -> Iterator[StudyItem]:
    from turpentine.study.hands import ARTISTS, hand_stills, similar_artist

    for artist in ARTISTS:
        real, similar = (hand_stills(each, source.count) for each in (artist, similar_artist(artist)))
        yield from (StudyItem(still, "real", artist, seed=number, role="real") for number, still in enumerate(real))
        yield from (
            StudyItem(still, "similar", artist, seed=number, role="similar") for number, still in enumerate(similar)
        )


def subjects_of(items: Iterable[StudyItem]) -> list[str]:
    """Return what the questions are about, each once."""
    return list(dict.fromkeys(item.subject for item in items))


def _fields(item: StudyItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in StudyItem.__dataclass_fields__}
