"""A tiny model in a folder, and the command as a real process and inside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from processes import Started, command_line
from tiny import tiny_sd1

from turpentine.cli.app import run
from turpentine.cli.options import ModelChoice

load = cache(ModelChoice.load)


class Outcome(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Stable Diffusion in diffusers' layout that draws 16 px, which no judge here reads."""
    folder = tmp_path_factory.mktemp("model")
    pipeline = tiny_sd1()
    pipeline.unet.register_to_config(sample_size=4)
    pipeline.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process."""

    def call(*tokens: str) -> Outcome:
        capsys.readouterr()
        code = run(tokens)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Outcome]:
    """Run a command line as a process of its own, with our source on its path, to its end."""

    def call(*tokens: str) -> Outcome:
        source = Path(__file__).parents[2] / "src"
        path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH", "")]))
        line, env = [sys.executable, "-m", "turpentine", *tokens], {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Started]:
    """Start a command line in a process that has everything imported, and go on."""
    return lambda *tokens: Started(tmp_path, command_line, tmp_path, tokens)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that leave a model as it was share one."""
    monkeypatch.setattr(ModelChoice, "load", lambda choice: load(choice))


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures before and after are drawn in few steps, where a test is not about what is in them."""
    monkeypatch.setattr("turpentine.models.drawing_defaults.WORLD_DRAWING", (1, 4.0))
