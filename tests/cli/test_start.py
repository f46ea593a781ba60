"""The command as a process: it starts fast, and refuses in one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from turpentine.cli.app import COMMANDS

# A flag and what it takes, between borders, and at most what it is by default.
BARE_FLAG = re.compile(r"│ --\S+( [A-Z=]+)? *(\[(default|choices): .*)?│")


RUN = "from turpentine.cli.app import run; assert run({}) == {}"


def check_imports(heavy: tuple[str, ...], *codes: str) -> None:
    """Run codes one after the other in a process of their own; after none is anything heavy imported."""
    script = f"""
import sys
for code in sys.argv[1:]:
    exec(code)
    much = [name for name in {heavy} if name in sys.modules]
    assert not much, f"{{much}} is imported after {{code}}"
"""
    done = subprocess.run([sys.executable, "-c", script, *codes], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    check_imports(
        ("torch", "diffusers", "polars", "scipy"),
        "import turpentine",
        "import turpentine.cli",
        *(RUN.format([*command, "--help"], 0) for command in ([], ["generate"], ["explain"])),
        RUN.format(["nonsense"], 2),
    )
    check_imports(("torch", "diffusers"), RUN.format(["bench", "--list", "--json"], 0))


def test_what_is_wrong_with_an_instruments_options_is_said_before_it_is_imported() -> None:
    check_imports(
        ("torch",),
        RUN.format(["explain", "maps", "a church", "--stepz", "3"], 2),
        RUN.format(["explain", "maps", "a church", "--steps", "many"], 2),
        RUN.format(["explain", "trace", "a church", "--concept", "church", "--where", "banana"], 2),
        RUN.format(["explain", "trace", "a church"], 2),
    )


def test_a_missing_edit_is_refused_before_torch_is_imported() -> None:
    check_imports(
        ("torch", "diffusers", "gradio"),
        RUN.format(["generate", "a church", "--edit", "none.safetensors"], 2),
        RUN.format(["generate", "a church", "--artefact", "none.safetensors"], 2),
        *(RUN.format([name, "none.safetensors"], 2) for name in ("attack", "audit", "info")),
        *(RUN.format([name, "none.safetensors", "--key", "mine"], 2) for name in ("sign", "verify")),
        RUN.format(["apply", "none.safetensors:0.5", "--out", "no-church"], 2),
        RUN.format(["studio", "--edit", "none.safetensors"], 2),
    )


def test_the_settings_of_a_method_need_neither_torch_nor_instruments() -> None:
    names = ("uce", "uce-debias", "rece", "loco-edit", "diff-quickfix", "cad", "conceptprune", "sld", "negative-prompt")
    check_imports(
        ("torch", "diffusers", "transformers", "matplotlib", "polars", "turpentine.explain", "turpentine.models.model"),
        "import turpentine as tp; assert tp.methods.ESD.name == 'esd'",
        "import turpentine as tp; tp.methods.ESD.preset('emoji', steps=3)",
        *(RUN.format([command, "--help"], 0) for command in ("erase", "amplify")),
        RUN.format(["erase", "church", "--method", "cad-amplify"], 2),
        RUN.format(["methods"], 0),
        *(RUN.format(["erase", "--method", name, "--help"], 0) for name in names),
    )


def test_help_names_every_command(process: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = process("--help")
    assert code == 0
    for name in ("erase", "generate", "judge", "info", "apply", "methods"):
        assert f" {name} " in out


@pytest.mark.parametrize("name", [each.__name__ for each in COMMANDS])
def test_help_says_what_every_flag_is(name: str, command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert [line for line in out.splitlines() if BARE_FLAG.fullmatch(line)] == []


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        (["nonsense"], "nonsense"),
        (["generate"], "prompt"),
        (["generate", "a church", "--seeds", "7-0"], "7-0"),
        (["generate", "a church", "--setps", "3"], "--steps"),
        (["generate", "a church", "--steps", "0"], "--steps"),
        (["apply"], "--out"),
        (["judge"], "picture"),
        (["judge", "missing.png"], "missing.png"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    tokens: list[str], named: str, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = command(*tokens)
    assert (code, out) == (2, "")
    assert named in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_a_reader_that_leaves_ends_the_command_quietly(command: str) -> None:
    line = f"({sys.executable} -m turpentine {command}; echo $? >&2) | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stderr == "1\n"


def test_a_full_disk_is_one_sentence() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m turpentine --help > /dev/full"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The disk is full")
    assert done.stderr.count("\n") == 1
