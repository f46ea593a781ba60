"""The protocol of a judge, and how the columns of its scores are described and looked up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import polars as pl
from PIL import Image

# Up to Python 3.11 its own isinstance runs properties, and a revision would fetch weights.
from typing_extensions import Protocol, runtime_checkable

from turpentine.concepts import TEMPLATES, Concept
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer

Value = TypeVar("Value")


@dataclass(frozen=True)
class Column:
    """Describes a column of scores.

    Attributes:
        low: Smallest value of a number; None for a label or a vector, which have no mean.
        high: Largest value of a number; None for a label or a vector.
        direction: Which way a number is better for the picture, such as "higher" where it measures how well the prompt
            is met; None where neither way is.
        labels: All labels that can occur; None where they are not known beforehand.

    Example:
        >>> Column(0.0, 1.0, "higher").is_number, Column(labels=("dog", "cat")).is_number
        (True, False)
    """

    low: float | None = None
    high: float | None = None
    direction: Literal["higher", "lower"] | None = None
    labels: tuple[str, ...] | None = None

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers, which may be averaged."""
        return self.low is not None


LABEL = Column()
"""A text that a picture is judged to be; also for vectors and bytes, which are for other numbers to be made of."""

PROBABILITY = Column(0.0, 1.0)


@runtime_checkable
class Judge(Protocol):
    """Scores pictures: a table with a row for each picture, in their order.

    Where a picture may show two things, a label's column NAME may have a column NAME_also beside it: either is a hit.

    Two scores may stand in one table only if name, revision and settings are the same for both.
    """

    @property
    def name(self) -> str:
        """The name by which `turpentine.judges.judge` makes it."""
        ...

    @property
    def revision(self) -> str:
        """A text that differs whenever the code or the weights could give another score."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the scores, such as labels and thresholds, in types of JSON."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What the call needs beside the pictures: some of "prompt" and "reference"."""
        ...

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns of its scores by name, in order."""
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
        """Score pictures; for no picture the table is empty, with the same columns.

        Args:
            images: The pictures.
            prompts: The prompt of each picture; for judges that need it.
            references: For each picture the unedited model's, of the same prompt, seed and settings; for judges that
                need it.

        Returns:
            A row for each picture, with the judge's columns.

        Raises:
            BadArgument: Prompts or references that it needs are missing.
        """
        ...


class PictureJudge(ABC):
    """A judge that looks at pictures alone: its `scores` need neither prompts nor references."""

    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Return a row for each picture; for none an empty table with the same columns."""

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """Score pictures.

        Args:
            images: Pictures of any size.
            prompts: Not used.
            references: Not used.

        Returns:
            A row for each picture, as `scores` says.
        """
        return self.scores(images)


def one_for_each(
    judge: str, what: str, values: Sequence[Value] | None, images: Sequence[Image.Image]
) -> Sequence[Value]:
    """Return prompts or references after checking that there is one for each picture.

    Args:
        judge: Name of the judge, for the error.
        what: What the values are, such as "prompt".
        values: The prompts or references that the judge was called with.
        images: The pictures that it was called with.

    Raises:
        BadArgument: There is not one value for each picture.
    """
    given = values or ()
    if len(given) != len(images):
        raise BadArgument(f"The judge {judge} needs a {what} for each of {len(images)} pictures, and has {len(given)}.")
    return given


def column_of(judge: Judge, name: str) -> Column:
    """Return one of a judge's columns.

    Raises:
        UnknownName: The judge has no column of this name.
    """
    if name not in judge.columns:
        raise UnknownName(f"{judge.name} has no column {name!r}: it has {', '.join(judge.columns)}.")
    return judge.columns[name]


class Sought(NamedTuple):
    """Where a judge's scores show a concept.

    Attributes:
        column: The column that shows it.
        label: Its label in that column; for a column of numbers, the prompt to give to the judge.
    """

    column: str
    label: str


def sought(judge: Judge, text: str) -> Sought | None:
    """Return the column in which a judge's scores show a concept.

    That is the column with a label that the text names, such as "noto" for "noto style"; else the first number of a
    judge that needs prompts, which says how well one is met.

    Args:
        judge: The judge.
        text: The concept in words.

    Returns:
        The column and the label; None where the judge has neither.
    """
    for name, column in judge.columns.items():
        label = _named(column, text)
        if label is not None:
            return Sought(name, label)
    numbers = [name for name, column in judge.columns.items() if column.is_number and "prompt" in judge.needs]
    return Sought(numbers[0], text) if numbers else None


def label_of(judge: Judge, column: str, text: str) -> str:
    """Return the label that a text names in a column, such as "noto" for "noto style".

    Args:
        judge: The judge.
        column: Name of a column of labels.
        text: The concept in words; returned as it is where the column's labels are not known.

    Raises:
        UnknownName: The judge has no such column.
        BadArgument: The column holds no labels, or the text names none of them.
    """
    definition = column_of(judge, column)
    if definition.labels is None:
        if judge([], prompts=[], references=[])[column].dtype != pl.String:
            raise BadArgument(f"{judge.name}'s {column} is no label: name another column.")
        return text
    label = _named(definition, text)
    if label is None:
        raise BadArgument(f"The judge {judge.name} never says {text!r} in {column}: {offer(text, definition.labels)}")
    return label


def _named(column: Column, text: str) -> str | None:
    """Return the label that a text names, alone or as a concept in one of the usual templates."""
    labels = column.labels or ()
    spellings = ((label, (label, *Concept(label, templates=_TEMPLATES).prompts)) for label in labels)
    return next((label for label, prompts in spellings if text.lower() in map(str.lower, prompts)), None)


_TEMPLATES = tuple(template for templates in TEMPLATES.values() for template in templates)


def hits(judge: Judge, column: str, images: Sequence[Image.Image], expected: Sequence[str]) -> list[bool]:
    """Return for each picture whether it is judged to be what is expected, or to be that also.

    Args:
        judge: The judge.
        column: Name of a column of labels.
        images: The pictures.
        expected: A label for each picture; the judge gets them as the prompts, too.
    """
    scores = judge(images, prompts=expected).with_columns(pl.Series("expected", expected, dtype=pl.String))
    is_hit: list[bool] = scores.select(shows(scores.columns, column).alias("hit"))["hit"].to_list()
    return is_hit


def shows(columns: Collection[str], attribute: str, expected: str = "expected") -> pl.Expr:
    """Return an expression for whether a label is the expected one; never null.

    Where there is a column such as object_also, it is a hit too if that holds the expected label.

    Args:
        columns: Columns of the table that the expression is for.
        attribute: The column of labels.
        expected: The column of expected labels.
    """
    is_hit = pl.col(attribute).eq_missing(pl.col(expected))
    if f"{attribute}_also" in columns:
        is_hit |= pl.col(f"{attribute}_also").eq(pl.col(expected)).fill_null(False)
    return is_hit


def shows_both(columns: Collection[str], attribute: str, expected: str, also: str) -> pl.Expr:
    """Return an expression for whether the two likeliest labels are the two expected ones, in any order; never null.

    A judge is surer of one of two things in a picture. How much so moves the other's probability, but not its rank.

    Args:
        columns: Columns of the table that the expression is for.
        attribute: The column of labels.
        expected: The column of one expected label.
        also: The column of the other.
    """
    first, second = pl.col(attribute), pl.col(next_likeliest(columns, attribute))
    in_order = first.eq_missing(pl.col(expected)) & second.eq_missing(pl.col(also))
    return in_order | (first.eq_missing(pl.col(also)) & second.eq_missing(pl.col(expected)))


def next_likeliest(columns: Collection[str], attribute: str) -> str:
    """Return the column of the label that comes next to the likeliest one, in a judge that may name two things.

    Example:
        >>> next_likeliest(["object", "second", "object_also"], "object"), next_likeliest(["a", "a_also"], "a")
        ('second', 'a_also')
    """
    names = (f"{attribute}_second", "second")
    return next((name for name in names if name in columns), f"{attribute}_also")
