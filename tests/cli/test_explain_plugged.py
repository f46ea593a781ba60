"""An instrument of another package: a command like ours, with defaults for what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from plugged import plug

from turpentine.cli.app import run
from turpentine.core.settings import Count, Settings
from turpentine.explain.finding import Finding
from turpentine.explain.stops import Stop
from turpentine.explain.tour import Tour
from turpentine.models.generate import fitting_pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class GlowFinding(Finding):
    concept: str

    def plot(self) -> Figure:
        from turpentine.explain._plots import new_figure

        figure = new_figure(3, 3)
        figure.subplots().plot(self.table["brightness"])
        return figure

    def summary(self) -> str:
        return f"“{self.concept}” glows by {self.table['brightness'].mean():.0f}."


@dataclass(frozen=True)
class Glow(Settings):
    """Say how bright the pictures of a concept are.

    Args:
        steps: Of the solver.
    """

    steps: Count = 2

    def __call__(self, model, prompts, seeds, *, concept, judge=None, cache=None, progress=None) -> GlowFinding:
        """Draw and look.

        Args:
            concept: What may glow.
        """
        texts, numbers = fitting_pairs(model, prompts, seeds)
        images = model.generate(texts, seeds=numbers, steps=self.steps, progress=progress)
        brightness = [float(np.asarray(image).mean()) for image in images]
        table = pl.DataFrame({"prompt": texts, "seed": numbers, "brightness": brightness})
        return GlowFinding(table, model.sites, "Glow", concept)

    @classmethod
    def stops(cls, tour):
        glow = cls(tour.steps)
        return [
            Stop(
                "glow",
                "Does it glow?",
                15,
                tour.rows_to_draw,
                glow,
                lambda cache, progress: glow(
                    tour.model, tour.prompts, tour.seeds, concept=tour.concept, progress=progress
                ),
            )
        ]


@dataclass(frozen=True)
class Broken:
    """Break before it begins.

    Args:
        sites: None.
    """

    def __call__(self, model): ...


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "instrument", glow=Glow, broken="there_is_no_such_package:Broken")


@pytest.mark.usefixtures("plugged")
def test_its_command_has_its_flags_and_those_that_it_needs(command: Callable[..., object], tmp_path: Path) -> None:
    listed = command("explain", "--help").out
    assert "glow" in listed and "how bright the pictures" in listed
    assert "broken" in listed and "trace" in listed, "another package's fault takes no other instrument away"
    shown = command("explain", "glow", "--help").out
    assert all(flag in shown for flag in ("--steps", "--seeds", "--concept", "--by", "--out", "--json", "--model"))
    assert "What may glow." in shown and "goes on with the same command" in shown


@pytest.mark.usefixtures("plugged")
def test_it_runs_with_defaults_for_all_but_what_it_must_be_told(command: Callable[..., object], tmp_path: Path) -> None:
    outcome = command("explain", "glow", "a church", "a dog", "--concept", "church", "--out", str(tmp_path), "--json")
    assert outcome.code == 0
    table = json.loads(outcome.out)["table"]
    assert [(row["prompt"], row["seed"]) for row in table[::8]] == [("a church", 0), ("a dog", 0)] and len(table) == 16
    assert pl.read_parquet(tmp_path / "table.parquet").height == 16 and (tmp_path / "plot.png").exists()
    again = command("explain", "glow", "a church", "--seeds", "3", "--concept", "church", "--out", str(tmp_path))
    assert "“church” glows by" in again.out


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        (("glow", "a church"), "--concept"),
        (("glow", "--concept", "church"), "There is no prompt"),
        (("glow", "a church", "--concept", "church", "--steps", "0"), "1 or more"),
        (("broken", "a church"), "could not be loaded"),
    ],
)
def test_bad_input_to_it_is_one_sentence(
    tokens: tuple[str, ...], sentence: str, command: Callable[..., object], tmp_path: Path
) -> None:
    outcome = command("explain", *tokens, *(() if "broken" in tokens else ("--out", str(tmp_path / "out"))))
    assert outcome.code == 2 and sentence in outcome.err and outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("plugged")
def test_it_goes_on_as_its_signature_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("turpentine.cli.app.build", interrupt)
    assert run(["explain", "glow", "a church"]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_it_has_its_place_in_a_tour(monkeypatch: pytest.MonkeyPatch, sd1, tmp_path: Path) -> None:
    plug(monkeypatch, "instrument", glow=Glow)
    names = [stop.name for stop in Tour("a church", "church", (0,), 1).stops(sd1)]
    assert names == ["dynamics", "glow", "maps", "intervene", "heads"]
