"""What every judge is, and what it says of its columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import polars as pl
from PIL import Image

# Up to Python 3.11 its own isinstance runs properties, and a revision would fetch weights.
from typing_extensions import Protocol, runtime_checkable

from turpentine.concepts import TEMPLATES, Concept
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer

Told = TypeVar("Told")


@dataclass(frozen=True)
class Column:
    """What a column of scores can be.

    low, high: the range of a number; both None for a label, or for a vector, which have no mean. direction: which way a
    number is better for the picture, such as "higher" where it shows the prompt; None where neither is. labels: all
    that a label can be; None where that is not known beforehand.
    """

    low: float | None = None
    high: float | None = None
    direction: Literal["higher", "lower"] | None = None
    labels: tuple[str, ...] | None = None

    @property
    def is_number(self) -> bool:
        """May its values be averaged?"""
        return self.low is not None


LABEL = Column()
"""A text that a picture is judged to be; also for vectors and bytes, which are for other numbers to be made of."""

PROBABILITY = Column(0.0, 1.0)


@runtime_checkable
class Judge(Protocol):
    """Turns pictures into a table of scores, a row for each picture and in their order.

    Where a picture may show two things, a label's column NAME may have a column NAME_also beside it: either is a hit.

    Two scores may stand in one table only if name, revision and settings are the same for both.
    """

    @property
    def name(self) -> str:
        """What it is called; `turpentine.judges.judge` makes it by this name."""
        ...

    @property
    def revision(self) -> str:
        """Which one it is: a text that differs whenever the code or the weights could give another answer."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its answers can be and what decides them, such as labels and thresholds, as JSON has them."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What it must be told beside the pictures: some of "prompt" and "reference"."""
        ...

    @property
    def columns(self) -> Mapping[str, Column]:
        """Its columns by name, in order."""
        ...

    @property
    def download(self) -> str | None:
        """What must be fetched before it can judge, with the size where that is known; None if all is here."""
        ...

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """The scores; columns are the judge's own, and the same for no picture as for many.

        prompts: what each picture was asked for. references: for each the unedited model's picture of the same prompt,
        seed and settings. Raises BadArgument where one that it needs is missing.
        """
        ...


def told(judge: str, what: str, values: Sequence[Told] | None, images: Sequence[Image.Image]) -> Sequence[Told]:
    """What a judge needs beside the pictures, one for each. Raises BadArgument if it is not there.

    judge: its name. what: such as "prompt".
    """
    given = values or ()
    if len(given) != len(images):
        raise BadArgument(f"The judge {judge} needs a {what} for each of {len(images)} pictures, and has {len(given)}.")
    return given


def column_of(judge: Judge, name: str) -> Column:
    """One of a judge's columns. Raises UnknownName."""
    if name not in judge.columns:
        raise UnknownName(f"{judge.name} has no column {name!r}: it has {', '.join(judge.columns)}.")
    return judge.columns[name]


class Sought(NamedTuple):
    """What a concept is to a judge. column: that tells of it. wanted: its label there, or what the judge is told."""

    column: str
    wanted: str


def sought(judge: Judge, text: str) -> Sought | None:
    """The column with a label that a text names, such as "noto" by "noto style"; else a judge's number of how well a
    prompt is met. None where neither is.
    """
    for name, column in judge.columns.items():
        label = _named(column, text)
        if label is not None:
            return Sought(name, label)
    numbers = [name for name, column in judge.columns.items() if column.is_number and "prompt" in judge.needs]
    return Sought(numbers[0], text) if numbers else None


def label_of(judge: Judge, column: str, text: str) -> str:
    """What a text is in a column of labels, such as "noto" for "noto style"; itself where the labels are not known.

    Raises UnknownName for a column that the judge has not, BadArgument for one that is no label, or for a text that
    names none of its labels.
    """
    known = column_of(judge, column)
    if known.labels is None:
        if judge([], prompts=[], references=[])[column].dtype != pl.String:
            raise BadArgument(f"{judge.name}'s {column} is no label: name another column.")
        return text
    label = _named(known, text)
    if label is None:
        raise BadArgument(f"The judge {judge.name} never says {text!r} in {column}: {offer(text, known.labels)}")
    return label


def _named(column: Column, text: str) -> str | None:
    """The label that a text names."""
    said, labels = text.lower(), column.labels or ()
    asked = ((label, (label, *Concept(label, templates=_TEMPLATES).prompts)) for label in labels)
    return next((label for label, prompts in asked if said in map(str.lower, prompts)), None)


_TEMPLATES = tuple(template for templates in TEMPLATES.values() for template in templates)


def hits(judge: Judge, column: str, images: Sequence[Image.Image], wanted: Sequence[str]) -> list[bool]:
    """Is each picture judged to be what was wanted of it, a label for each, or to be it also?

    wanted: what the judge is told as the prompts, too.
    """
    said = judge(images, prompts=wanted).with_columns(pl.Series("wanted", wanted, dtype=pl.String))
    found: list[bool] = said.select(shows(said.columns, column).alias("hit"))["hit"].to_list()
    return found


def shows(columns: Collection[str], attribute: str, wanted: str = "wanted") -> pl.Expr:
    """Is a label what was wanted, or is it that also, where there is a column such as object_also? Never null.

    columns: of the table that it is asked of. wanted: the column that says what was.
    """
    is_wanted = pl.col(attribute).eq_missing(pl.col(wanted))
    if f"{attribute}_also" in columns:
        is_wanted |= pl.col(f"{attribute}_also").eq(pl.col(wanted)).fill_null(False)
    return is_wanted
