"""The contract of an instrument as a pytest class: subclass it, say what is measured, and run pytest."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from polars import selectors

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.core.random_state import random_states
from turpentine.explain.finding import Finding
from turpentine.explain.instrument import Instrument, parameters
from turpentine.models import Model, Site
from turpentine.testing.state import hook_count, weights_hash
from turpentine.testing.toys import TOYS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALF = {"sd1": torch.float16, "sd2": torch.bfloat16, "sdxl": torch.bfloat16}
"""The half precision that each family is tried in."""

NEAR = {torch.bfloat16: 0.03, torch.float16: 0.005}
"""How far the numbers of a format may be from those of float32, as a share of their largest."""

ESTIMATES = ("value", "score", "effect", "ratio")
"""Columns that `low` and `high` are of; the first that a table has counts."""

KEYWORDS = {"concept", "judge", "label", "size", "cache", "progress"}
"""Keywords of an instrument's call that have one meaning; others must have a default."""


class InstrumentContract:
    """What `turpentine` promises of every instrument, as tests on three toys, in full and in half precision.

    Example:
        >>> class TestBrightness(InstrumentContract):
        ...     keys = ("prompt", "seed")
        ...
        ...     def instrument(self, model): return Brightness(steps=2)
        ...     def measure(self, instrument, model): return instrument(model, ["a dog"], [0])
        ...     def expected_keys(self, model): return [("a dog", 0)]
        ...     def smooth(self, finding): return finding.table["brightness"]
        ...     def plotted(self, finding): return finding.table["brightness"]

    Attributes:
        keys: The columns that name a row of the table.
        scores_sites: Whether the finding selects sites.
        nullable: Columns of numbers that may be null.
        rounding: How many times farther off than NEAR the smooth numbers may be in half precision.
        reads_model: Whether it looks into the model itself, and not only into findings.
    """

    keys: ClassVar[tuple[str, ...]]
    scores_sites: ClassVar[bool] = True
    nullable: ClassVar[frozenset[str]] = frozenset()
    rounding: ClassVar[float] = 1
    reads_model: ClassVar[bool] = True

    def instrument(self, model: Model) -> Any:
        """Return the instrument under test, with settings that are quick on a toy."""
        raise NotImplementedError("Give the instrument under test, with settings that are quick on a toy.")

    def measure(self, instrument: Any, model: Model) -> Finding:
        """Run the instrument on a toy, in words that the toys know."""
        raise NotImplementedError("Run the instrument on a toy.")

    def expected_keys(self, model: Model) -> Iterable[tuple[Any, ...]]:
        """Return the keys of the rows that the table must have, in any order."""
        raise NotImplementedError("Give the keys of the rows that the table must have.")

    def smooth(self, finding: Any) -> Any:
        """Return numbers that half precision changes little."""
        raise NotImplementedError("Give numbers that half precision changes little.")

    def plotted(self, finding: Any) -> Any:
        """Return the numbers that the plot must show, each as often as it must be there."""
        raise NotImplementedError("Give the numbers that the plot must show.")

    def most_sites(self, model: Model) -> int:
        """Return how many sites the top two of a finding may be, at most."""
        return 2

    @pytest.fixture(params=TOYS)
    def family(self, request: pytest.FixtureRequest) -> str:
        """Return the name of a toy's family."""
        return str(request.param)

    @pytest.fixture
    def model(self, family: str) -> Model:
        """Return a toy of each family in full precision, shared by all instruments: each must leave it as it was."""
        return toy(family, torch.float32)

    @pytest.fixture
    def finding(self, request: pytest.FixtureRequest, family: str) -> Finding:
        """Return the instrument's finding on the toy in full precision, computed once for each."""
        return measured(request.cls, family, torch.float32).finding

    def test_it_is_a_plug_in_with_the_common_call(self, model: Model) -> None:
        """A frozen dataclass; the model first; keywords that it cannot do without are those that all share."""
        instrument = self.instrument(model)
        assert isinstance(instrument, Instrument)
        assert dataclasses.is_dataclass(instrument) and instrument.__dataclass_params__.frozen
        needed = [each for each in parameters(type(instrument)).values() if each.kind is each.KEYWORD_ONLY]
        assert all(each.name in KEYWORDS or each.default is not each.empty for each in needed)

    def test_it_leaves_the_model_as_it_was(self, family: str) -> None:
        """No weight, no hook and no global random state differs afterwards, in full and in half precision."""
        for dtype in (torch.float32, HALF[family]):
            assert not measured(type(self), family, dtype).touched

    def test_its_table_has_every_row_and_finite_numbers(self, model: Model, family: str) -> None:
        """The keys are those that are expected, intervals hold their estimates, and sites are the model's."""
        for dtype in (torch.float32, HALF[family]):
            finding = measured(type(self), family, dtype).finding
            assert sorted(finding.table.select(self.keys).rows()) == sorted(self.expected_keys(model))
            self._check_numbers(finding.table)
            self._check_sites(finding, model)

    def test_half_precision_changes_little(self, family: str, finding: Finding) -> None:
        """The smooth numbers are near those of float32."""
        full = np.array(self.smooth(finding), dtype=np.float64)
        half = np.array(self.smooth(measured(type(self), family, HALF[family]).finding), dtype=np.float64)
        assert np.abs(half - full).max() <= self.rounding * NEAR[HALF[family]] * np.abs(full).max()

    def test_its_plot_shows_the_table(self, family: str, finding: Finding) -> None:
        """The numbers are all there, as often as they are given, and no panel is empty."""
        figure = finding.plot()
        check_plot(figure, self.plotted(finding))
        if family == "sdxl":  # the one with the most to draw
            check_drawing(figure)

    def test_its_summary_is_sentences(self, finding: Finding) -> None:
        """There is one at least, and no number in it is none."""
        summary = finding.summary()
        assert summary.endswith(".")
        assert "nan" not in summary and "None" not in summary

    @pytest.mark.parametrize("part", ["denoiser", "decoder", "text"])
    def test_nan_in_a_weight_stops_it_or_is_not_read(self, part: str) -> None:
        """In any network: an error that says so, or the whole model's numbers, where it does without that network."""
        if not self.reads_model:
            pytest.skip("it reads no model")
        model = Model(TOYS["sd1"]())
        for weight in _parts(model)[part].parameters():
            with torch.no_grad():
                weight.view(-1)[0] = torch.nan
        with suppress(NotFinite):
            finding = self.measure(self.instrument(model), model)
            assert finding.table.equals(measured(type(self), "sd1", torch.float32).finding.table)

    def _check_numbers(self, table: pl.DataFrame) -> None:
        for values in table.select(selectors.numeric()):
            assert values.drop_nulls().is_finite().all(), values.name
            assert values.name in self.nullable or not values.null_count(), values.name
        if "low" in table.columns:
            estimate = next(each for each in ESTIMATES if each in table.columns)
            rows = table.drop_nulls(estimate)
            assert (rows["low"] <= rows[estimate] + 1e-12).all()
            assert (rows[estimate] <= rows["high"] + 1e-12).all()

    def _check_sites(self, finding: Finding, model: Model) -> None:
        if not self.scores_sites:
            with pytest.raises(BadArgument):
                finding.sites(top=2)
            return
        best = finding.sites(top=2)
        assert 0 < len(best) <= self.most_sites(model)
        assert set(best) <= set(model.sites)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A finding, and whether measuring it changed a weight, left a hook or moved a global random state."""

    finding: Finding
    touched: bool


def measured(contract: Any, family: str, dtype: torch.dtype) -> Measured:
    """Measure a toy as a contract's class says, once for all of its tests."""
    return _measured(contract, family, dtype)


@cache
def _measured(contract: Any, family: str, dtype: torch.dtype) -> Measured:
    model, case = toy(family, dtype), contract()
    before = weights_hash(model), hook_count(model), random_states()
    finding = case.measure(case.instrument(model), model)
    return Measured(finding, (weights_hash(model), hook_count(model), random_states()) != before)


def _parts(model: Model) -> dict[str, torch.nn.Module]:
    """Return the networks of a model by what they are for."""
    texts = [each for each in model.components.values() if each not in (model.denoiser, model.vae)]
    return {"denoiser": model.denoiser, "decoder": model.vae, "text": torch.nn.ModuleList(texts)}


@cache
def toy(family: str, dtype: torch.dtype) -> Model:
    """Return a toy, shared by all."""
    model = Model(TOYS[family]().to(dtype=dtype))
    model.encode([""])  # transformers leaves hooks of its own on an encoder in its first call
    return model


def modules(model: Model, *kinds: str) -> list[Site]:
    """Return a model's modules of some kinds, in order of execution."""
    return [site for site in model.sites if site.level == "module" and site.kind in kinds]


def flat(arrays: Iterable[Any]) -> Any:
    """Return the numbers of arrays of any shapes, one after the other."""
    return np.concatenate([np.ravel(array) for array in arrays])


def check_plot(figure: Figure, numbers: Any) -> None:
    """Check that a figure shows numbers, each as often as it is given, and that no panel of it is empty."""
    given = np.asarray(numbers, dtype=np.float32)
    missing = Counter(given[~np.isnan(given)].tolist()) - _plotted(figure)
    assert given.size and not missing
    assert all(axis.has_data() for axis in figure.axes if axis.axison)


def check_drawing(figure: Figure) -> None:
    """Check that a figure can be drawn, and that each panel has something in it, unless that is one colour itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(40)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[::-1]
    for panel in figure.axes:
        if panel.axison or any(np.ptp(np.asarray(image.get_array()), (0, 1)).any() for image in panel.get_images()):
            left, bottom, right, top = np.asarray(panel.get_window_extent().extents).round().astype(int)
            assert np.ptp(picture[bottom:top, left:right, :3]), "it is not blank"


def _plotted(figure: Figure) -> Counter[float]:
    """Return the lengths of bars, the heights of curves' marks, where points are, and the pixels of maps; no guides."""
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer

    arrays: list[Any] = []
    for axis in figure.axes:
        bars = [bar.get_width() for each in axis.containers if isinstance(each, BarContainer) for bar in each]
        curves = [line.get_ydata() for line in axis.get_lines() if line.get_marker() != "None"]
        points = [each.get_offsets() for each in axis.collections if isinstance(each, PathCollection)]
        maps = [image.get_array() for image in axis.get_images()]
        arrays += bars or [*curves, *points, *maps]
    return Counter(flat(np.asarray(each, dtype=np.float32) for each in arrays).tolist())
