"""`turpentine explain`: where, when and how a model knows what a prompt says, an instrument for each question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.help_text import summary, with_help
from turpentine.cli.options import (
    AtOnce,
    Drawing,
    Flat,
    Json,
    ModelChoice,
    Rows,
    Seeds,
    check_folder,
    judge_of,
    needed_judge,
    parse_seeds,
    warn_of_unknown_words,
)
from turpentine.cli.picture_files import picture_files, read_picture
from turpentine.cli.progress_bars import shown
from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.cli.tour import tour
from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument

if TYPE_CHECKING:
    import polars as pl

    from turpentine.explain import Finding
    from turpentine.judges import Judge
    from turpentine.models import Model

ROWS_SHOWN = 40

Out = Annotated[
    Path,
    Parameter(
        name=("--out", "--save"),
        help="The folder for table.parquet and plot.png.",
        validator=lambda _, folder: check_folder(folder),
    ),
]
Words = Annotated[tuple[str, ...], Parameter(show_default=False)]


def windows(
    *prompts: str,
    seeds: Seeds = "0-7",
    letters: str | None = None,
    kind: str = "cross-attention",
    drawing: Annotated[Drawing, Flat] = Drawing(),
    rows: Rows = 256,
    by: str | None = None,
    out: Out = Path("explained/windows"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Sever modules, or tell them the empty prompt, in some layers or in a part of the steps, and see what is left.

    prompts: what to draw; every prompt is drawn with every seed.
    letters: the interventions, with commas between: q severs inside, o everywhere but inside, p swaps the prompt for
        the empty one inside, r everywhere but inside; then a window (1, 2, 3, 4, 1.2), modules (ALL, LOWRES, HIGHRES, a
        label such as MID), or both, such as q2:MID; by default q1 to q4, qALL, and q and o of LOWRES and HIGHRES where
        the model has such.
    kind: of the modules: cross-attention, self-attention, feed-forward or resnet.
    by: the judge whose labels are compared with those of the untouched pictures, or none; that of the emoji world for
        the embedded model, none for others.
    """
    from turpentine.explain import Intervene
    from turpentine.explain._codes import usual

    texts, numbers = _pairs(prompts, seeds)
    model = _loaded(source, prompts)
    chosen = tuple(_listed(letters)) if letters is not None else usual(model, kind=kind)
    asked = Intervene(chosen, kind, drawing.steps, drawing.guidance_scale, rows)
    judge = judge_of(by, source.model)
    with shown("Drawing", "pictures") as progress:
        found = asked(model, texts, numbers, judge=judge, keep=_parts(out), progress=progress)
    _tell(found, out, json, keep=_parts(out))


def dynamics(
    *prompts: str,
    seeds: Seeds = "0-7",
    kind: str = "cross-attention",
    drawing: Annotated[Drawing, Flat] = Drawing(),
    batch_size: AtOnce = 16,
    out: Out = Path("explained/dynamics"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Show how a picture comes into being: what changes at each step, by which modules, and when the words are read.

    prompts: what to draw; every prompt is drawn with every seed.
    kind: of the modules whose updates are measured.
    """
    from turpentine.explain import Dynamics

    texts, numbers = _pairs(prompts, seeds)
    asked = Dynamics(kind, drawing.steps, drawing.guidance_scale, batch_size=batch_size)
    with shown("Drawing", "pictures") as progress:
        found = asked(_loaded(source, prompts), texts, numbers, progress=progress)
    _tell(found, out, json)


def maps(
    *prompts: str,
    seeds: Seeds = "0",
    word: Words = (),
    threshold: float = 0.4,
    drawing: Annotated[Drawing, Flat] = Drawing(),
    size: PositiveInt | None = None,
    batch_size: AtOnce = 8,
    out: Out = Path("explained/maps"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Show where in the picture each word of the prompt was looked at while it was drawn (DAAM).

    prompts: what to draw; every prompt is drawn with every seed.
    word: a word, or several as one, to map; may be given several times; every word by default.
    threshold: of a map's largest value, from which on a pixel belongs to the word.
    size: of a picture, in pixels a side; the model's own by default.
    """
    from turpentine.explain import Maps

    texts, numbers = _pairs(prompts, seeds)
    asked = Maps(word, None, threshold, drawing.steps, drawing.guidance_scale, batch_size)
    with shown("Drawing", "pictures") as progress:
        found = asked(_loaded(source, prompts), texts, numbers, size=size, progress=progress)
    _tell(found, out, json)


def trace(
    *prompts: str,
    concept: str,
    where: Literal["denoiser", "text"] = "denoiser",
    seeds: Seeds = "0-7",
    column: str | None = None,
    noise: float = 3.0,
    drawing: Annotated[Drawing, Flat] = Drawing(),
    rows: Rows = 256,
    by: str | None = None,
    out: Out = Path("explained/trace"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Find what carries a concept to the picture: drown its words in noise, and give back one component at a time.

    prompts: what to draw, the concept's words in each; every prompt is drawn with every seed.
    concept: words of the prompts.
    where: components of the denoiser, or of the text encoder.
    column: of the judge: a label that should be the concept, or a number; by default the label that the concept is one
        of, or else the judge's first column, if that is a number.
    noise: on the concept's embeddings, in standard deviations.
    by: the judge, such as emoji or clip; that of the emoji world for the embedded model.
    out: the folder for table.parquet, which erase takes as --sites-from, and plot.png.
    """
    from turpentine.explain import Trace

    texts, numbers = _pairs(prompts, seeds)
    judge = needed_judge(by, source.model)
    asked = Trace(where, column or _column(judge, concept), noise, drawing.steps, drawing.guidance_scale, rows)
    model = _loaded(source, prompts)
    with shown("Tracing", "pictures") as progress:
        found = asked(model, texts, numbers, subject=concept, judge=judge, keep=_parts(out), progress=progress)
    _tell(found, out, json, keep=_parts(out))


def clock(
    *prompts: str,
    seeds: Seeds = "0-7",
    times: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-0.2,-0.1,+0.1,+0.2,=0.5,shuffled",
    layers: str = "ALL",
    drawing: Annotated[Drawing, Flat] = Drawing(),
    rows: Rows = 256,
    by: str | None = None,
    out: Out = Path("explained/clock"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Tell the resnets another time than the picture's, and see what the time is for.

    prompts: what to draw; every prompt is drawn with every seed.
    times: with commas between: +0.1 is later in the schedule by a tenth of it, -0.1 earlier, =0.5 half-way at every
        step; shuffled has the steps' own times in another order.
    layers: the resnets: ALL; LOWRES, those at a quarter of the highest resolution or below; HIGHRES, those at it.
    by: the judge whose labels are compared with those of the untouched pictures, or none; that of the emoji world for
        the embedded model, none for others.
    """
    from turpentine.explain import Clock

    texts, numbers = _pairs(prompts, seeds)
    asked = Clock(tuple(_listed(times)), layers, drawing.steps, drawing.guidance_scale, rows)
    model = _loaded(source, prompts)
    judge = judge_of(by, source.model)
    with shown("Drawing", "pictures") as progress:
        found = asked(model, texts, numbers, judge=judge, keep=_parts(out), progress=progress)
    _tell(found, out, json, keep=_parts(out))


def loco(
    *prompts: str,
    concept: str,
    width: PositiveInt = 3,
    target: str = "",
    seeds: Seeds = "0-7",
    column: str | None = None,
    drawing: Annotated[Drawing, Flat] = Drawing(),
    rows: Rows = 256,
    by: str | None = None,
    out: Out = Path("explained/loco"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Find the layers in a row that control a concept: tell some of them another prompt, and see whether it goes.

    prompts: what to draw, the concept's words in each; every prompt is drawn with every seed.
    concept: words of the prompts.
    width: cross-attention layers in a row.
    target: words in the concept's place in the prompt that these layers are told; the empty prompt by default.
    column: of the judge: a label that should not be the concept; by default the label that the concept is one of.
    by: the judge, such as emoji; that of the emoji world for the embedded model.
    """
    from turpentine.explain import LocoGen

    texts, numbers = _pairs(prompts, seeds)
    judge = needed_judge(by, source.model)
    asked = LocoGen(width, target, column or _column(judge, concept), drawing.steps, drawing.guidance_scale, rows)
    model = _loaded(source, [*prompts, target])
    with shown("Locating", "pictures") as progress:
        found = asked(model, texts, numbers, concept=concept, judge=judge, keep=_parts(out), progress=progress)
    _tell(found, out, json, keep=_parts(out))


def entangle(
    *objects: str,
    seeds: Seeds = "0-7",
    column: str = "object",
    drawing: Annotated[Drawing, Flat] = Drawing(),
    batch_size: AtOnce = 16,
    by: str | None = None,
    out: Out = Path("explained/entangle"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Ask whether a neighbour in the prompt hurts: an object alone, beside what is like it, and beside what is not.

    objects: each with what is like it and what is not, such as dog=cat,church owl=penguin,apple.
    column: the judge's label for objects.
    by: the judge, such as emoji; that of the emoji world for the embedded model.
    """
    from turpentine.explain import Entangle
    from turpentine.explain import summaries as said

    named = [_company(text) for text in objects]
    company = dict(named)
    small = [one.lower() for one, _ in named]
    twice = next((one for one, _ in named if small.count(one.lower()) > 1), None)
    if twice is not None:
        raise BadArgument(f"{twice!r} is there twice: give each object once, with one neighbour and one other.")
    near, far = ({one: both[which] for one, both in company.items()} for which in (0, 1))
    asked = Entangle(column, drawing.steps, drawing.guidance_scale, batch_size)
    judge, numbers = needed_judge(by, source.model), parse_seeds(seeds)
    model = _loaded(source, [word for one, both in company.items() for word in (one, *both)])
    with shown("Drawing", "steps") as progress:
        found = asked(model, near, far, numbers, judge=judge, progress=progress)
    _tell(found, out, json, said.entangled(found), harm=found.harm._asdict())


def heads(
    *groups: str,
    template: str = "{}",
    background: Path | None = None,
    out: Out = Path("explained/heads"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Say which heads of cross-attention keep groups of words apart, in their keys and in their values.

    groups: words with commas between, a name before them if you like: animals=dog,cat,owl buildings=church,house.
    template: the prompt for a word, {} in its place.
    background: a text file with a prompt on each line, such as many captions, that the picture's axes are fitted on;
        the words themselves by default.
    """
    from turpentine.explain import Heads
    from turpentine.explain import summaries as said

    named: dict[str, list[str]] = {}
    for number, group in enumerate(groups, start=1):
        name, equals, words = group.rpartition("=")
        named[name if equals else f"group {number}"] = _listed(words)
    asked = Heads(template, _lines(background) if background else ())
    found = asked(_loaded(source, [word for words in named.values() for word in words]), named)
    _tell(found, out, json, said.heads(found), chance=found.chance, p=found.p, above=found.above)


def contributions(
    *prompts: str,
    seeds: Seeds = "0-3",
    at: str | None = None,
    drawing: Annotated[Drawing, Flat] = Drawing(),
    batch_size: AtOnce = 16,
    out: Out = Path("explained/contributions"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Show what self- and what cross-attention add to a picture, and where: such as with a word, and without it.

    prompts: what to draw; every prompt is drawn with every seed.
    at: labels of the attention modules, with commas between, such as UP4,UP7; by default the first of the last up block
        but one.
    """
    from turpentine.explain import Contributions
    from turpentine.explain.contributions import KINDS

    texts, numbers = _pairs(prompts, seeds)
    model = _loaded(source, prompts)
    sites = None if at is None else model.sites.only(kind=KINDS, level="module", label=_listed(at))
    asked = Contributions(sites, drawing.steps, drawing.guidance_scale, batch_size)
    with shown("Drawing", "pictures") as progress:
        found = asked(model, texts, numbers, progress=progress)
    _tell(found, out, json)


def coar(
    *prompts: str,
    seeds: Seeds = "0",
    kind: Words = (),
    trials: PositiveInt = 400,
    share: float = 0.05,
    steps: PositiveInt = 20,
    guidance_scale: float = 3.0,
    batch_size: PositiveInt = 20,
    out: Out = Path("explained/coar"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Say how far a concept falls without each module: by regression over ablations, to first order, and measured.

    prompts: of the concept; every prompt is drawn with every seed.
    kind: of the modules; may be given several times; resnets, self- and cross-attention and feed-forward by default.
    trials: random sets of modules that are ablated, for the regression (COAR).
    share: of the modules in a set.
    steps: of the stored run.
    guidance_scale: of the stored run.
    batch_size: rows of the denoiser in one call.
    out: the folder for table.parquet, which erase takes as --sites-from, and plot.png.
    """
    from turpentine.explain import Coar
    from turpentine.explain import summaries as said

    texts, numbers = _pairs(prompts, seeds)
    asked = Coar(kind or Coar.kinds, trials, share, steps, guidance_scale, batch_size)
    with shown("Ablating", "ablations") as progress:
        found = asked(_loaded(source, prompts), texts, numbers, keep=_parts(out), progress=progress)
    agreement = {name: found.agreement(name)._asdict() for name in ("score", "cad")}
    _tell(found, out, json, said.coar(found), keep=_parts(out), agreement=agreement)


def segment(
    *pictures: Path,
    words: str,
    updates: PositiveInt = 150,
    guidance_scale: float = 8.0,
    threshold: float = 0.5,
    batch_size: PositiveInt = 8,
    out: Out = Path("explained/segment"),
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Find what words name in pictures: the mask under which the model thinks that a picture shows it (Peekaboo).

    pictures: files of the model's size, or folders of them.
    words: what to find, such as "a church". White in the mask of each picture, mask-1.png and so on beside the table.
    updates: of each mask.
    guidance_scale: how strongly the words guide.
    threshold: of the soft mask, from which on a pixel belongs to the words.
    batch_size: noisy copies of the picture in each update.
    """
    import polars as pl
    from PIL import Image

    from turpentine.explain import Segment

    paths = picture_files(pictures)
    images = [read_picture(path) for path in paths]
    if not words.strip():
        raise BadArgument('There are no words: say what to find, such as --words "a church".')
    asked = Segment(updates, batch_size=batch_size, guidance_scale=guidance_scale, threshold=threshold)
    with shown("Segmenting", "updates") as progress:
        found = asked(_loaded(source, [words]), images, [words] * len(images), progress=progress)
    masks = [out / f"mask-{number}.png" for number in range(1, 1 + len(paths))]
    for path, mask in zip(masks, found.masks, strict=True):
        with write_whole(path) as aside:
            Image.fromarray(mask).save(aside, format="png")
    columns = pl.Series("picture", _told_apart(paths)), pl.Series("mask", [path.name for path in masks])
    _tell(replace(found, table=found.table.select(*columns, "words", "covered")), out, json, also=masks)


KEEPING = ("windows", "trace", "clock", "loco", "coar")
"""Instruments that go on where they were broken off."""

INSTRUMENTS: tuple[Callable[..., None], ...] = (
    windows,
    dynamics,
    maps,
    contributions,
    trace,
    clock,
    loco,
    entangle,
    heads,
    coar,
    segment,
)


def explain_app() -> App:
    """The command with its instruments."""
    app = App(
        name="explain",
        help="Say where, when and how a model knows what a prompt says: all instruments in turn, or one of them. The "
        "former, and windows, trace, clock, loco and coar, go on with the same command where they were broken off.",
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


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """The files' names; with their folders, as they were given, where two have one name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file, without empty ones. Raises BadArgument for none, OSError as the file system does."""
    try:
        lines = tuple(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())))
    except UnicodeDecodeError as error:
        raise BadArgument(f"{plain(str(path))} is no text in UTF-8: give a file with a prompt on each line.") from error
    if not lines:
        raise BadArgument(f"{plain(str(path))} holds no prompt: give one on each line.")
    return lines


def _loaded(source: ModelChoice, texts: Sequence[str]) -> Model:
    model = source.load()
    warn_of_unknown_words(model, texts)
    return model


def _column(judge: Judge, concept: str) -> str:
    """The one with a label that the concept names; else the judge's first."""
    from turpentine.judges.base import sought

    known = sought(judge, concept)
    return known.column if known else next(iter(judge.columns))


def _company(text: str) -> tuple[str, tuple[str, str]]:
    """An object, what is like it, and what is not."""
    one, _, company = text.partition("=")
    beside = _listed(company)
    if not one.strip() or len(beside) != 2:
        raise BadArgument(f"{text!r} is no object in company: write OBJECT=NEIGHBOUR,OTHER, such as dog=cat,church.")
    return one.strip(), (beside[0], beside[1])


def _parts(out: Path) -> Path:
    """Where a long instrument keeps what it has finished."""
    from turpentine.explain.cache import PARTS

    return out / PARTS


def _tell(
    found: Finding,
    out: Path,
    as_json: bool,
    text: str = "",
    keep: Path | None = None,
    also: Sequence[Path] = (),
    **numbers: object,
) -> None:
    """Write the table and the picture, and say what is in them.

    text: what it comes to. numbers: the same, for JSON. keep: where the instrument kept what it had finished. also:
    files that were written beside these.
    """
    from turpentine.core.tensors import discard

    out.mkdir(parents=True, exist_ok=True)
    table, plot = out / "table.parquet", out / "plot.png"
    found.save(table)
    with write_whole(plot) as aside:
        found.plot().savefig(aside, format="png", dpi=150)
    if keep is not None:
        discard(keep)
    if as_json:
        say_json({"table": found.table.to_dicts(), **numbers, "files": [*map(str, (table, plot, *also))]})
        return
    _show(found.table)
    say(f"\n{plain(text)}\n" if text else "")
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
