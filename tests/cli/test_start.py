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
NO_TORCH = "import sys; {}; assert not {{'torch', 'diffusers', 'polars', 'scipy'}} & set(sys.modules), 'too much'"


@pytest.mark.parametrize(
    "code",
    [
        "import turpentine",
        "import turpentine.cli",
        "from turpentine.cli.app import run; assert run(['--help']) == 0",
        "from turpentine.cli.app import run; assert run(['generate', '--help']) == 0",
        "from turpentine.cli.app import run; assert run(['explain', '--help']) == 0",
        "from turpentine.cli.app import run; assert run(['nonsense']) == 2",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", NO_TORCH.format(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


HEAVY = ("torch", "diffusers", "transformers", "matplotlib", "polars", "turpentine.explain", "turpentine.models.model")
NOTHING_HEAVY = f"import sys; {{}}; assert not [name for name in {HEAVY} if name in sys.modules], 'imported too much'"


@pytest.mark.parametrize(
    "code",
    [
        "import turpentine as tp; assert tp.methods.ESD.name == 'esd'",
        "import turpentine as tp; tp.methods.ESD.preset('emoji', steps=3)",
        "from turpentine.cli.app import run; assert run(['erase', '--help']) == 0",
        "from turpentine.cli.app import run; assert run(['amplify', '--help']) == 0",
        "from turpentine.cli.app import run; assert run(['erase', 'church', '--method', 'cad-amplify']) == 2",
        "from turpentine.cli.app import run; assert run(['methods']) == 0",
        *(
            f"from turpentine.cli.app import run; assert run(['erase', '--method', '{name}', '--help']) == 0"
            for name in ("uce", "rece", "loco-edit", "diff-quickfix", "cad", "conceptprune", "sld", "negative-prompt")
        ),
    ],
)
def test_the_settings_of_a_method_need_neither_torch_nor_instruments(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", NOTHING_HEAVY.format(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_names_every_command(process: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = process("--help")
    assert code == 0
    for name in ("erase", "generate", "judge", "info", "apply", "methods"):
        assert f" {name} " in out


@pytest.mark.parametrize("command", [each.__name__ for each in COMMANDS])
def test_help_says_what_every_flag_is(command: str, process: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = process(command, "--help")
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
    tokens: list[str], named: str, process: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = process(*tokens)
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
