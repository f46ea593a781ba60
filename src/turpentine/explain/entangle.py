"""Does a neighbour in the prompt hurt? An object beside what is like it, and beside what is not (DAAM, Tang 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import polars as pl
from PIL import Image

from turpentine.concepts import with_article
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent, points_with_span
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._plots import draw_bars, new_figure
from turpentine.explain.finding import Finding
from turpentine.explain.instrument import FromText
from turpentine.judges.base import Judge, hits, label_of
from turpentine.judges.worlds import check_judge_of
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import fitting_pairs
from turpentine.models.model import Model
from turpentine.stats.intervals import Difference, Rate, paired_bootstrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALONE, NEAR, FAR = "alone", "beside a neighbour", "beside another"
"""The company that an object has in its prompt."""

Objects: TypeAlias = Mapping[str, tuple[str, str]]
"""For each object what is like it, and what is not."""


def read_objects(texts: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Read objects with their company, such as `dog=cat,church`.

    Raises:
        BadArgument: A text of another form, or an object that is there twice.

    Example:
        >>> read_objects(["dog=cat,church"])
        {'dog': ('cat', 'church')}
    """
    objects: dict[str, tuple[str, str]] = {}
    for text in texts:
        one, _, rest = text.partition("=")
        one, company = one.strip(), [part.strip() for part in rest.split(",") if part.strip()]
        if not one or len(company) != 2:
            raise BadArgument(
                f"{text!r} is no object in company: write OBJECT=NEIGHBOUR,OTHER, such as dog=cat,church."
            )
        if one.lower() in map(str.lower, objects):
            raise BadArgument(f"{one!r} is there twice: give each object once, with one neighbour and one other.")
        objects[one] = company[0], company[1]
    return objects


def _words(objects: Objects) -> list[str]:
    return [word for one, company in objects.items() for word in (one, *company)]


@dataclass(frozen=True)
class Entangle(Settings):
    """Ask whether a neighbour in the prompt hurts: an object alone, beside what is like it, and beside what is not.

    All three are drawn with the same seeds (DAAM, Tang 2022).

    Args:
        column: The judge's label for objects; where the judge has COLUMN_also, either is a hit.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        batch_size: Pictures drawn at once.

    Example:
        >>> import turpentine as tp
        >>> model, judge = tp.load(), tp.judges.EmojiJudge()
        >>> finding = Entangle(steps=2)(model, {"dog": ("cat", "church")}, (0,), judge=judge)
        >>> finding.table["company"].to_list()
        ['alone', 'beside a neighbour', 'beside another']
    """

    name: ClassVar[str] = "entangle"
    unit: ClassVar[str] = "steps"

    column: str = "object"
    steps: Count | None = None
    guidance_scale: Finite | None = None
    batch_size: Count = 16

    def __call__(
        self,
        model: Model,
        objects: Annotated[
            Objects,
            FromText(
                read_objects,
                _words,
                "Each with what is like it and what is not: dog=cat,church owl=penguin,apple.",
                "dog=cat,church",
            ),
        ],
        seeds: Sequence[int] = range(8),
        *,
        judge: Judge,
        progress: Progress | None = None,
    ) -> EntangleFinding:
        """Draw each object in each company.

        Args:
            model: The model.
            objects: For each object what is like it, and what is not: `{"dog": ("cat", "church")}`.
            seeds: Of the pictures.
            judge: Has the column.
            progress: Called with denoising steps done and in all.

        Raises:
            BadArgument: There is no object, one is in company of itself or twice of the same, one is no label of the
                judge's, or a prompt is too long.
            UnknownName: A column that the judge has not.
        """
        check_judge_of(model, judge)
        if not objects:
            raise BadArgument("There is no object: give one at least, such as dog=cat,church.")
        for one, (neighbour, other) in objects.items():
            if len({each.strip().lower() for each in (one, neighbour, other)}) < 3:
                raise BadArgument(
                    f"{one!r} beside {neighbour!r} and {other!r} shows nothing: give three different "
                    "things, such as 'dog' beside 'cat' and 'church'."
                )
        labels = {one: label_of(judge, self.column, one) for one in objects}
        rows = _prompts(objects, seeds)
        prompts, numbers = fitting_pairs(model, rows["prompt"].to_list(), rows["seed"].to_list())
        images = model.generate(
            prompts,
            seeds=numbers,
            **drawing_of(self, model),
            batch_size=self.batch_size,
            progress=progress,
        )
        hit = hits(judge, self.column, images, [labels[one] for one in rows["object"]])
        rows = rows.with_columns(pl.Series("hit", hit))
        return EntangleFinding(_table(rows), model.sites, "An object and its company", rows, images)


@dataclass(frozen=True, eq=False)
class EntangleFinding(Finding):
    """How often objects are drawn in each company.

    Args:
        table: A row for each company: company, value (the rate), low, high, n.
        rows: The same for each picture: company, object, prompt, seed, hit.
        images: In the order of the rows.
    """

    rows: pl.DataFrame
    images: list[Image.Image]

    @property
    def harm(self) -> Difference:
        """The rate beside a neighbour minus that beside another, over the same objects and seeds."""
        near, far = (self.rows.filter(pl.col("company") == company) for company in (NEAR, FAR))
        return paired_bootstrap(far["hit"].to_list(), near["hit"].to_list(), clusters=near.select("object").rows())

    def numbers(self) -> Mapping[str, Any]:
        """Return the harm with its interval."""
        return {"harm": self.harm._asdict()}

    def summary(self) -> str:
        """Say how much a neighbour hurts, and whether by more than chance."""
        harm = self.harm
        near, far = (self.table.filter(pl.col("company") == company)["value"][0] for company in (NEAR, FAR))
        doubt = ", which chance alone might give" if harm.low <= 0 <= harm.high else ""
        return (
            f"Objects are drawn in {percent(near)} of the pictures {NEAR} and in {percent(far)} of those {FAR}: a "
            f"difference of {points_with_span(harm)} points{doubt}."
        )

    def plot(self) -> Figure:
        """Plot the three rates."""
        figure = new_figure(4.2, 2.0)
        axis = figure.subplots()
        draw_bars(axis, self.table["company"].to_list(), self.table)
        axis.set(xlim=(0, 1), xlabel="drawn")
        axis.invert_yaxis()
        return figure


def _prompts(objects: Objects, seeds: Sequence[int]) -> pl.DataFrame:
    """Return a row for each picture: company, object, prompt, seed."""
    beside: dict[str, dict[str, str]] = {
        ALONE: {},
        NEAR: {one: neighbour for one, (neighbour, _) in objects.items()},
        FAR: {one: other for one, (_, other) in objects.items()},
    }
    rows = []
    for company, of in beside.items():
        for one in objects:
            prompt = f"{with_article(one)} and {with_article(of[one])}" if of else with_article(one)
            rows += [(company, one, prompt, seed) for seed in seeds]
    types = {"company": pl.String, "object": pl.String, "prompt": pl.String, "seed": pl.Int64}
    return pl.DataFrame(rows, types, orient="row")


def _table(rows: pl.DataFrame) -> pl.DataFrame:
    lines = []
    for (company,), part in rows.group_by("company", maintain_order=True):
        rate = Rate.of(part["hit"].to_list(), part.select("object").rows())
        assert rate is not None  # there is an object and a seed
        lines.append((company, rate.value, rate.low, rate.high, rate.n))
    return pl.DataFrame(lines, ["company", "value", "low", "high", "n"], orient="row")
