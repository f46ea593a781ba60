"""What help says: words and no fragments, bounds once, nothing of Python, an example that can be run."""

from __future__ import annotations

import re
import shlex

import pytest
from cyclopts import Parameter

from turpentine.cli.app import COMMANDS, build
from turpentine.cli.explain import explain_app
from turpentine.cli.flags import flags_of
from turpentine.cli.help_text import descriptions, example_of
from turpentine.cli.instrument_command import example_line
from turpentine.core.plugins import Plugin, plugins
from turpentine.core.settings import field_types, range_of

OWN = {plugin.target: plugin for plugin in plugins(("erase", "amplify", "instrument")).values()}
BOUND = re.compile(r"\b(above 0|[01] or more|over 0|0 to 1|below 1)\b")
PYTHON = re.compile(r"\b(None|str|int|float|tuple|PATH\|STR|Optional|Literal)\b")


@pytest.mark.parametrize("plugin", OWN.values(), ids=lambda plugin: plugin.class_name)
def test_every_setting_is_said_in_words_and_its_bounds_once(plugin: Plugin) -> None:
    hints = field_types(plugin.load())
    texts = descriptions(plugin.load().__doc__, hints.keys())
    assert set(texts) == set(hints)
    for name, text in texts.items():
        assert not text.startswith(("Of ", "As ", "On ")), f"{name}: {text}"
        assert not (BOUND.search(text) and range_of(hints[name])), f"{name}: {text}"
    for flag in flags_of(plugin.defaults("emoji")).__dataclass_fields__.values():
        *_, parameter = (mark for mark in flag.type.__metadata__ if isinstance(mark, Parameter))
        assert parameter.metavar in (None, "TEXT", "NUMBER", "N", "PATH")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_has_an_example_that_is_read(command) -> None:
    _, *tokens = shlex.split(example_of(command.__doc__))
    assert tokens[0] == command.__name__
    build(tokens).parse_args(tokens, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("name", [command.__name__ for command in COMMANDS])
def test_help_has_no_python_in_it_fits_eighty_columns_and_marks_what_is_needed(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    build([name, "--help"])([name, "--help"], result_action="return_value")
    text = capsys.readouterr().out
    assert not PYTHON.search(text)
    assert not re.search(r"│ +(-\S+ \w+ +)?Of ", text)
    assert f"Example: turpentine {name}" in text
    assert max(map(len, text.splitlines())) <= 80
    if name in ("erase", "amplify", "generate", "judge", "apply"):
        assert "[required]" in text


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("erase", {"Settings of uce-aligned", "Measuring", "Model", "Output"}),
        ("generate", {"Model", "Output"}),
        ("attack", {"Attacking", "Model", "Output"}),
        ("audit", {"Auditing", "Model", "Output"}),
    ],
)
def test_flags_stand_in_groups(name: str, groups: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    build([name, "--help"])([name, "--help"], result_action="return_value")
    titles = set(re.findall(r"^╭─ (.+?) ─", capsys.readouterr().out, re.MULTILINE))
    assert groups <= titles


def test_the_tour_has_an_example_too() -> None:
    assert "turpentine explain" in str(explain_app().help_epilogue)


def test_a_line_that_names_a_command_makes_no_other() -> None:
    """Each takes some milliseconds, of which every line would wait for all."""
    names = {name for name in build(()) if not name.startswith("-")}
    assert {"erase", "explain", "study"} <= names == {name for name in build(["erse"]) if not name.startswith("-")}
    for first in ("erase", "explain", "study"):
        assert {name for name in build([first]) if not name.startswith("-")} == {first}


@pytest.mark.parametrize("name", sorted(plugins("instrument")))
def test_help_of_an_instrument_names_what_to_write_and_nothing_of_python(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tokens = ["explain", name, "--help"]
    build(tokens)(tokens, result_action="return_value")
    usage, *rest = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"Usage: turpentine explain {name}( --concept TEXT)? \[OPTIONS\] [A-Z]+\.\.\.", usage)
    assert not re.search(r"--[a-z-]+ (STR|INT|FLOAT)\b", "\n".join(rest))


@pytest.mark.parametrize(
    ("tokens", "usage"),
    [
        (["attack"], "turpentine attack [OPTIONS] [FILE]"),
        (["audit"], "turpentine audit [OPTIONS] [FILES...]"),
        (["erase"], "turpentine erase [OPTIONS] CONCEPTS..."),
        (["study", "check"], "turpentine study check [OPTIONS] [PLAN]"),
        (["explain"], "turpentine explain --concept TEXT [OPTIONS] PROMPT"),
    ],
    ids=" ".join,
)
def test_usage_names_the_arguments(tokens: list[str], usage: str, capsys: pytest.CaptureFixture[str]) -> None:
    build([*tokens, "--help"])([*tokens, "--help"], result_action="return_value")
    assert capsys.readouterr().out.splitlines()[0] == f"Usage: {usage}"


def test_the_example_of_an_instrument_names_a_model_that_it_runs_on() -> None:
    assert example_line(plugins("instrument")["concept-attention"]).endswith(
        '"a church in ink style" --model emoji-mmdit'
    )


def test_every_command_takes_json() -> None:
    app = build([])
    commands = [app[name] for name in app if not name.startswith("-")]
    ends = [end for each in commands for end in ([each[name] for name in each if not name.startswith("-")] or [each])]
    without = [
        end.name[0]
        for end in ends
        if "--json" not in {name for each in end.assemble_argument_collection() for name in each.names}
    ]
    assert len(ends) >= 20 and without == []
