"""`turpentine explain`: where, when and how a model knows what a prompt says, an instrument for each question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.meter import shown
from turpentine.cli.options import Flat, Json, ModelChoice, parse_seeds, warn_of_unknown_words
from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.cli.texts import summary, with_help
from turpentine.cli.tour import tour
from turpentine.errors import BadArgument
from turpentine.files import write_whole

if TYPE_CHECKING:
    import polars as pl

    from turpentine.explain import Finding
    from turpentine.judges import Judge
    from turpentine.models import Model

ROWS_SHOWN = 40

Words = Annotated[tuple[str, ...], Parameter(show_default=False)]


def windows(
    *prompts: str,
    seeds: str = "0-7",
    letters: str = "q1,q2,q3,q4,qLOWRES,qHIGHRES,oLOWRES,oHIGHRES,qALL",
    kind: str = "cross-attention",
    steps: PositiveInt = 20,
    guidance_scale: float = 4.0,
    rows: PositiveInt = 256,
    by: str | None = None,
    out: Path = Path("explained/windows"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Sever modules, or tell them the empty prompt, in some layers or in a part of the steps, and see what is left.

    prompts: what to draw; every prompt is drawn with every seed.
    seeds: numbers and ranges, such as 0-7,9.
    letters: the interventions, with commas between: q severs inside, o everywhere but inside, p swaps the prompt for
        the empty one inside, r everywhere but inside; then a window (1, 2, 3, 4, 1.2), modules (ALL, LOWRES, HIGHRES, a
        label such as MID), or both, such as q2:MID.
    kind: of the modules: cross-attention, self-attention, feed-forward or resnet.
    steps: of the solver.
    guidance_scale: how strongly the prompt guides.
    rows: of the denoiser in one call, at most; fewer take less memory.
    by: the judge whose labels are compared with those of the untouched pictures; that of the emoji world for the
        embedded model, none for others.
    out: the folder for table.parquet and plot.png.
    json: print one JSON document.
    """
    from turpentine.explain import Intervene

    texts, numbers = _pairs(prompts, seeds)
    asked = Intervene(tuple(_listed(letters)), kind, steps, guidance_scale, rows)
    model = _loaded(source, prompts)
    judge = _judge(by or ("emoji" if source.model == "emoji" else None))
    with shown("Drawing", "pictures") as progress:
        found = asked(model, texts, numbers, judge=judge, progress=progress)
    _tell(found, out, json)


def dynamics(
    *prompts: str,
    seeds: str = "0-7",
    kind: str = "cross-attention",
    steps: PositiveInt = 20,
    guidance_scale: float = 4.0,
    batch_size: PositiveInt = 16,
    out: Path = Path("explained/dynamics"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Show how a picture comes into being: what changes at each step, by which modules, and when the words are read.

    prompts: what to draw; every prompt is drawn with every seed.
    seeds: numbers and ranges, such as 0-7,9.
    kind: of the modules whose updates are measured.
    steps: of the solver.
    guidance_scale: how strongly the prompt guides.
    batch_size: pictures drawn at once.
    out: the folder for table.parquet and plot.png.
    json: print one JSON document.
    """
    from turpentine.explain import Dynamics

    texts, numbers = _pairs(prompts, seeds)
    asked = Dynamics(kind, steps, guidance_scale, batch_size=batch_size)
    with shown("Drawing", "pictures") as progress:
        found = asked(_loaded(source, prompts), texts, numbers, progress=progress)
    _tell(found, out, json)


def maps(
    *prompts: str,
    seeds: str = "0",
    word: Words = (),
    threshold: float = 0.4,
    steps: PositiveInt = 20,
    guidance_scale: float = 4.0,
    size: PositiveInt | None = None,
    batch_size: PositiveInt = 8,
    out: Path = Path("explained/maps"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Show where in the picture each word of the prompt was looked at while it was drawn (DAAM).

    prompts: what to draw; every prompt is drawn with every seed.
    seeds: numbers and ranges, such as 0-7,9.
    word: a word, or several as one, to map; may be given several times; every word by default.
    threshold: of a map's largest value, from which on a pixel belongs to the word.
    steps: of the solver.
    guidance_scale: how strongly the prompt guides.
    size: of a picture, in pixels a side; the model's own by default.
    batch_size: pictures drawn at once.
    out: the folder for table.parquet and plot.png.
    json: print one JSON document.
    """
    from turpentine.explain import Maps

    texts, numbers = _pairs(prompts, seeds)
    asked = Maps(word, None, threshold, steps, guidance_scale, batch_size)
    with shown("Drawing", "pictures") as progress:
        found = asked(_loaded(source, prompts), texts, numbers, size=size, progress=progress)
    _tell(found, out, json)


def trace(
    *prompts: str,
    concept: str,
    where: Literal["unet", "text"] = "unet",
    seeds: str = "0-7",
    column: str | None = None,
    noise: float = 3.0,
    steps: PositiveInt = 20,
    guidance_scale: float = 4.0,
    rows: PositiveInt = 256,
    by: str = "emoji",
    out: Path = Path("explained/trace"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Find what carries a concept to the picture: drown its words in noise, and give back one component at a time.

    prompts: what to draw, the concept's words in each; every prompt is drawn with every seed.
    concept: words of the prompts.
    where: components of the denoiser, or of the text encoder.
    seeds: numbers and ranges, such as 0-7,9.
    column: of the judge: a label that should be the concept, or a number; by default the label that the concept is one
        of, or the judge's first column.
    noise: on the concept's embeddings, in standard deviations.
    steps: of the solver.
    guidance_scale: how strongly the prompt guides.
    rows: of the denoiser in one call, at most; fewer take less memory.
    by: the judge, such as emoji or clip.
    out: the folder for table.parquet, which erase takes as --sites-from, and plot.png.
    json: print one JSON document.
    """
    from turpentine.explain import Trace
    from turpentine.judges.base import sought

    texts, numbers = _pairs(prompts, seeds)
    judge = _judge(by)
    assert judge is not None  # one is always named
    known = sought(judge, concept)
    chosen = column or (known.column if known else next(iter(judge.columns)))
    wanted = known.wanted if known and known.column == chosen else concept
    asked = Trace(where, chosen, noise, steps, guidance_scale, rows)
    model = _loaded(source, prompts)
    with shown("Tracing", "pictures") as progress:
        found = asked(model, texts, numbers, subject=concept, judge=judge, wanted=wanted, progress=progress)
    _tell(found, out, json)


def heads(
    *groups: str,
    template: str = "{}",
    out: Path = Path("explained/heads"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Say which heads of cross-attention keep groups of words apart, in their keys and in their values.

    groups: words with commas between, a name before them if you like: animals=dog,cat,owl buildings=church,house.
    template: the prompt for a word, {} in its place.
    out: the folder for table.parquet and plot.png.
    json: print one JSON document.
    """
    from turpentine.explain import Heads

    named: dict[str, list[str]] = {}
    for number, group in enumerate(groups, start=1):
        name, equals, words = group.rpartition("=")
        named[name if equals else f"group {number}"] = _listed(words)
    found = Heads(template)(_loaded(source, [word for words in named.values() for word in words]), named)
    _tell(found, out, json)


INSTRUMENTS: tuple[Callable[..., None], ...] = (windows, dynamics, maps, trace, heads)


def explain_app() -> App:
    """The command with its instruments."""
    app = App(
        name="explain",
        help="Say where, when and how a model knows what a prompt says: all instruments in turn, or one of them.",
    )
    app.default(with_help(tour))
    for instrument in INSTRUMENTS:
        app.command(with_help(instrument), name=instrument.__name__, help=summary(instrument.__doc__))
    return app


def _pairs(prompts: Sequence[str], seeds: str) -> tuple[list[str], list[int]]:
    """Every prompt with every seed."""
    if not prompts:
        raise BadArgument('There is no prompt: say what to draw, such as "a church in noto style".')
    numbers = parse_seeds(seeds)
    texts = list(dict.fromkeys(prompts))
    return [text for text in texts for _ in numbers], numbers * len(texts)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _loaded(source: ModelChoice, texts: Sequence[str]) -> Model:
    model = source.load()
    warn_of_unknown_words(model, texts)
    return model


def _judge(name: str | None) -> Judge | None:
    from turpentine import judges

    return judges.judge(name) if name else None


def _tell(found: Finding, out: Path, as_json: bool) -> None:
    """Write the table and the picture, and say what is in them."""
    out.mkdir(parents=True, exist_ok=True)
    table, plot = out / "table.parquet", out / "plot.png"
    found.save(table)
    with write_whole(plot) as aside:
        found.plot().savefig(aside, format="png", dpi=150)
    if as_json:
        say_json({"table": found.table.to_dicts(), "files": [str(table), str(plot)]})
        return
    _show(found.table)
    say()
    for path in (table, plot):
        say(plain(str(path)))


def _show(table: pl.DataFrame) -> None:
    """The table's rows, or the first of them, without the sites' long names where labels tell enough."""
    brief = table.drop("site") if "label" in table.columns and (table["label"] != "").all() else table
    show_table(brief.columns, [[_cell(value) for value in row] for row in brief.head(ROWS_SHOWN).rows()])
    if len(brief) > ROWS_SHOWN:
        say(f"... {len(brief) - ROWS_SHOWN} more rows in the table's file")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
