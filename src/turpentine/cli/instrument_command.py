"""The command of an instrument, made from its class.

Flags come from its fields, the rest from the signature of its call, the help from both docstrings. An instrument of
another package is a command in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter as Argument
from inspect import Signature
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.checks import check_folder
from turpentine.cli.finding_output import FindingOutput
from turpentine.cli.flags import flags_of, with_flags
from turpentine.cli.help_text import descriptions, summary, written_as
from turpentine.cli.options import (
    ClipModel,
    Details,
    Force,
    Json,
    ModelChoice,
    ModelFlags,
    Rows,
    Seeds,
    judge_of,
    needed_judge,
    parse_seeds,
    warn_of_unknown_words,
)
from turpentine.cli.picture_files import picture_files
from turpentine.cli.progress_bars import busy, progress_bar
from turpentine.cli.stored_rows import stored_rows
from turpentine.cli.usage_errors import SETTINGS
from turpentine.core.errors import BadArgument
from turpentine.core.imaging import read_picture
from turpentine.core.plugins import Plugin
from turpentine.core.seeds import spell_seeds
from turpentine.core.settings import Count, field_types

JUDGE = "The judge, such as emoji or clip; that of the emoji world for the models that ship"

Out = Annotated[
    Path,
    Parameter(
        name=("--out", "--save"),
        help="The folder for table.parquet and plot.png; explained/NAME by default.",
        validator=lambda _, folder: check_folder(folder),
        show_default=False,
    ),
]


def help_of(plugin: Plugin) -> str:
    """Return the help of an instrument's command."""
    from turpentine.explain.instrument import takes

    text = summary(plugin.load().__doc__)
    resumed = "\n\nA run that was broken off goes on with the same command."
    return text + resumed if takes(plugin.load(), "cache") else text


def example_line(plugin: Plugin) -> str:
    """Return a command line of an instrument, with what it cannot go without."""
    from turpentine.explain.instrument import input_of, parameters

    name, form = input_of(plugin.load())
    given = form.example if form else "pictures" if name == "images" else '"a church in ink style"'
    concept = parameters(plugin.load()).get("concept")
    needed = " --concept church" if concept is not None and concept.default is Argument.empty else ""
    others = getattr(plugin.load(), "example_flags", "")
    return f"Example: turpentine explain {plugin.name} {given}{needed} {others}".rstrip()


def command_of(plugin: Plugin) -> Callable[..., None]:
    """Return the command of an instrument."""
    with busy("Starting"):  # instruments bring torch with them
        arguments = _arguments(plugin)

    defaults = {each.name: each.default for each in arguments if each.kind is Argument.KEYWORD_ONLY}

    def command(*inputs: Any, **options: Any) -> None:
        _run(plugin, inputs, defaults | options)

    command.__signature__ = Signature(arguments)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in arguments}
    return command


def _arguments(plugin: Plugin) -> list[Argument]:
    """Return the parameters of a command.

    They are the instrument's input, what its call takes, its settings, and what all commands have.
    """
    from turpentine.explain.instrument import input_of, parameters

    call, (name, form) = parameters(plugin.load()), input_of(plugin.load())
    texts = descriptions(plugin.load().__call__.__doc__, call.keys())
    given: Any = Path if name == "images" else str
    inputs: Any = Annotated[given, Parameter(help=form.help if form else _HELP.get(name))]
    flags: dict[str, Any] = {"concept": str, "label": str, "size": PositiveInt}
    arguments = [Argument(name, Argument.VAR_POSITIONAL, annotation=inputs)]
    for key in [key for key in flags if key in call]:
        is_needed = call[key].default is Argument.empty
        kind = flags[key] if is_needed else flags[key] | None
        hint: Any = Annotated[kind, Parameter.combine(written_as(kind), Parameter(help=texts.get(key)))]
        arguments.append(_option(key, hint, Argument.empty if is_needed else None))
    if "seeds" in call:
        default = call["seeds"].default
        arguments.append(_option("seeds", Seeds, "0-7" if default is Argument.empty else spell_seeds(default)))
    if "judge" in call:
        rest = (
            "."
            if call["judge"].default is Argument.empty
            else ", none for others. Without one nothing is judged: none."
        )
        arguments.append(_option("by", Annotated[str | None, Parameter(metavar="TEXT", help=JUDGE + rest)], None))
        arguments.append(_option("clip_model", ClipModel, None))
    group = Parameter(name="*", group=Group(f"{SETTINGS}{plugin.name}", sort_key=1))
    return [
        *arguments,
        _option("settings", Annotated[flags_of(plugin.defaults(), _left_open(plugin.load())) | None, group], None),
        _option("out", Out, Path("explained") / plugin.name),
        _option("source", Annotated[ModelChoice, ModelFlags], ModelChoice()),
        _option("details", Details, False),
        _option("force", Force, False),
        _option("json", Json, False),
    ]


_HELP = {
    "prompts": "What to draw; every prompt is drawn with every seed.",
    "images": "Files of the model's size, or folders of them.",
}


def _option(name: str, kind: Any, default: Any) -> Argument:
    return Argument(name, Argument.KEYWORD_ONLY, annotation=kind, default=default)


def _run(plugin: Plugin, inputs: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Run an instrument, write its finding, and print it."""
    from turpentine.explain.cache import PARTS
    from turpentine.explain.instrument import progress_unit, takes
    from turpentine.judges.worlds import check_judge_of

    cls, out, source = plugin.load(), options["out"], options["source"]
    instrument = plugin.defaults(source.model)
    if options["settings"] is not None:
        instrument = with_flags(instrument, options["settings"])
    given, words = _inputs(cls, inputs, options)
    if "by" in options:
        is_needed = _is_required(cls, "judge")
        choose = needed_judge if is_needed else judge_of
        given["judge"] = choose(options["by"], source.model, options["clip_model"])
    given |= {key: options[key] for key in ("concept", "label", "size") if options.get(key) is not None}
    if takes(cls, "cache"):
        given["cache"] = out / PARTS
    model = source.load()
    if _left_open(cls) and getattr(options["settings"], "rows", None) is None:
        instrument = replace(instrument, rows=stored_rows(model, out))
    judge = given.get("judge")
    check_judge_of(model, judge)
    warn_of_unknown_words(model, [*words, getattr(instrument, "target", "")])
    with progress_bar(plugin.name.capitalize(), progress_unit(cls)) as progress:
        if takes(cls, "progress"):
            given["progress"] = progress
        finding = instrument(model, **given)
    output = FindingOutput(out, options["json"], options["details"])
    output.write(finding, given.get("cache"), judge)


def _left_open(cls: type[Any]) -> dict[str, Any]:
    """Return the settings of an instrument that follow the free memory where they are not given."""
    return {"rows": Rows} if field_types(cls).get("rows") == Count else {}


def _is_required(cls: type[Any], name: str) -> bool:
    from turpentine.explain.instrument import parameters

    return parameters(cls)[name].default is Argument.empty


def _inputs(cls: type[Any], inputs: Sequence[Any], options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments for an instrument's inputs and seeds, and the words in them."""
    from turpentine.explain.instrument import input_of, takes

    name, form = input_of(cls)
    seeds = parse_seeds(options["seeds"]) if "seeds" in options else None
    if name == "images":
        paths = picture_files(inputs)
        given: dict[str, Any] = {name: [read_picture(path) for path in paths]}
        if takes(cls, "names"):
            given["names"] = _distinct_names(paths)
        return given, [options.get("concept") or ""]
    if form is not None:
        value = form.read(inputs)
        return {name: value} | ({} if seeds is None else {"seeds": seeds}), list(form.words(value))
    if not inputs:
        raise BadArgument('There is no prompt: say what to draw, such as "a church in noto style".')
    texts = list(dict.fromkeys(inputs))
    if seeds is None:
        return {name: texts}, texts
    return {name: [text for text in texts for _ in seeds], "seeds": seeds * len(texts)}, texts


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the files' names, with their folders, as they were given, where two have one name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
