"""Another package, which only lists entry points, adds a method, a judge and an instrument to commands and benches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from plugged import renew
from tiny import tiny_sd1

from turpentine.cli.app import run

MODULE = '''\
"""Rubs concepts out, and looks at how bright a picture is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import annotated_types as at
import numpy as np
import polars as pl

from turpentine.core.settings import Settings
from turpentine.edits import Edit
from turpentine.explain.finding import Finding
from turpentine.erase.common import as_concepts, provenance_of
from turpentine.judges import Column

NAME = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight"


@dataclass(frozen=True)
class Rubbing(Settings):
    """Make a weight smaller, by some share of it.

    share: how much of it.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"rubbing-hard": {"share": 0.5}}

    share: Annotated[float, at.Gt(0), at.Le(1)] = 0.1

    def __call__(self, model, concept, *, progress=None, checkpoint=None):
        concepts = as_concepts(concept, model)
        delta = -self.share * model.parameter(NAME).detach().float()
        return Edit({NAME: delta}, provenance_of(self, model, concepts))


@dataclass(frozen=True)
class Brightness(Settings):
    """How bright the upper rows of a picture are."""

    name: ClassVar[str] = "brightness"
    revision: ClassVar[str] = "1"
    needs: ClassVar[frozenset[str]] = frozenset()
    download: ClassVar[None] = None

    rows: Annotated[int, at.Ge(1)] = 8

    @property
    def settings(self):
        return {"rows": self.rows}

    @property
    def columns(self):
        return {"brightness": Column(0.0, 255.0)}

    def __call__(self, images, *, prompts=None, references=None):
        means = [float(np.asarray(image, dtype=np.float64)[: self.rows].mean()) for image in images]
        return pl.DataFrame({"brightness": means}, schema={"brightness": pl.Float64})


@dataclass(frozen=True, eq=False)
class GlowFinding(Finding):
    """How bright the pictures are."""

    def plot(self):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3, 2))
        figure.subplots().plot(self.table["brightness"])
        return figure

    def summary(self):
        return "The pictures are there."


@dataclass(frozen=True)
class Glow(Settings):
    """How bright pictures of a prompt are.

    Args:
        steps: Of the solver.
    """

    steps: Annotated[int, at.Ge(1)] = 1

    def __call__(self, model, prompts, seeds, *, progress=None):
        images = model.generate(prompts, seeds=seeds, steps=self.steps, progress=progress)
        means = [float(np.asarray(image, dtype=np.float64).mean()) for image in images]
        return GlowFinding(pl.DataFrame({"seed": list(seeds), "brightness": means}), model.sites, "Glow")
'''

ENTRY_POINTS = """\
[turpentine.erase]
rubbing = rubbings:Rubbing
rubbing-hard = rubbings:Rubbing

[turpentine.judges]
brightness = rubbings:Brightness

[turpentine.instruments]
glow = rubbings:Glow

[turpentine.amplify]
broken = rubbings:NoSuchClass
"""

BENCH = """\
title: Rubbings
models: ["{model}"]
concepts: [church]
methods: [rubbing, rubbing-hard: {{share: 0.75}}]
judges: [brightness: {{rows: 2}}]
seeds: 0-1
drawing: {{steps: 1}}
measures: [mean of brightness]
cases:
  - prompts: ["a {{}}"]
"""


class Outcome(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip leaves it: a module, and what the package lists."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "rubbings.py").write_text(MODULE, encoding="utf-8")
    about = folder / "rubbings-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rubbings\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_sd1().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def turpentine(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """The command where the package is on the path, in this process."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    renew(monkeypatch)

    def call(*tokens: str) -> Outcome:
        capsys.readouterr()
        code = run(tokens)
        return Outcome(code, *capsys.readouterr())

    yield call
    sys.modules.pop("rubbings", None)


@pytest.fixture
def process(site: Path, tmp_path: Path) -> Run:
    """The same as a process of its own."""
    source = Path(__file__).parents[2] / "src"
    path = os.pathsep.join(filter(None, [str(source), str(site), os.environ.get("PYTHONPATH", "")]))

    def call(*tokens: str) -> Outcome:
        line, env = [sys.executable, "-m", "turpentine", *tokens], {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


def test_it_is_listed_and_a_broken_one_takes_nothing_away(process: Run) -> None:
    done = process("methods", "--json")
    assert done.returncode == 0, done.stderr
    listed = {each["name"]: each for each in json.loads(done.stdout)}
    assert listed["rubbing"] == {
        "name": "rubbing",
        "kind": "erase",
        "when": "",
        "what": "Make a weight smaller, by some share of it.",
    }
    assert listed["rubbing-hard"]["what"] == "rubbing with share 0.5"
    assert "NoSuchClass" in listed["broken"]["what"]
    assert "esd-x" in listed


def test_its_method_erases_with_its_own_flags(turpentine: Run, model: str, tmp_path: Path) -> None:
    line = ("erase", "church", "--method", "rubbing-hard", "--model", model, "--out", "run", "--seeds", "0")
    help_text = turpentine(*line[:4], "--help").stdout
    assert "--share NUMBER" in help_text and "Over 0 and up to 1" in " ".join(help_text.split())
    refused = turpentine(*line, "--share", "0")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--share" in refused.stderr and "over 0 and up to 1" in refused.stderr.lower()
    done = turpentine(*line, "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    other = turpentine("amplify", "church", "--method", "rubbing", "--model", model)
    assert (other.returncode, other.stderr) == (2, "rubbing erases: use `turpentine erase`.\n")


def test_a_bench_takes_its_method_and_its_judge(turpentine: Run, model: str, tmp_path: Path) -> None:
    (tmp_path / "rubbings.yaml").write_text(BENCH.format(model=model), encoding="utf-8")
    done = turpentine("bench", "rubbings.yaml", "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    rows = pl.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(rows["method"]) == {"", "rubbing", "rubbing-hard share=0.75"}
    assert rows["brightness"].is_between(0, 255).all() and len(rows) == 6


def test_its_judge_judges_files(turpentine: Run, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), (100, 100, 100)).save(tmp_path / "grey.png")
    done = turpentine("judge", "grey.png", "--by", "brightness", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["brightness"] == 100.0


def test_its_instrument_is_a_command_with_flags_of_its_own(turpentine: Run, model: str, tmp_path: Path) -> None:
    assert "glow" in turpentine("explain", "--help").stdout
    line = ("explain", "glow", "a church", "--model", model, "--seeds", "0-1", "--out", "glow")
    refused = turpentine(*line, "--steps", "0")
    assert refused.returncode == 2 and "--steps" in refused.stderr
    done = turpentine(*line)
    assert done.returncode == 0, done.stderr
    assert "The pictures are there." in done.stdout
    assert pl.read_parquet(tmp_path / "glow" / "table.parquet")["brightness"].is_between(0, 255).all()
    assert (tmp_path / "glow" / "plot.png").is_file()
