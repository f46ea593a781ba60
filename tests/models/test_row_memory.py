"""How many rows fit: what is counted of one row, and what is decided by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from turpentine.cli.visits import VisitChoice
from turpentine.core.errors import NoMemory
from turpentine.models import row_memory
from turpentine.models.row_memory import MARGIN, PeakBytes, bytes_a_row, fitting_rows, rows_that_fit
from turpentine.testing.toys import toy


def test_the_peak_is_of_what_lives_at_a_time() -> None:
    """Views and what is computed in place take nothing; what is dropped is no longer counted."""
    given = torch.ones(1000)
    with PeakBytes() as count:
        one = given + 1
        assert count.peak == 4000
        one.view(10, 100).mul_(2)
        assert count.peak == 4000
        two = one * 2
        assert count.peak == 8000
        del one
        three = two * 2
        del two
        three.double()
    assert count.peak == 12000


@pytest.mark.parametrize(
    ("each", "free", "most", "rows"),
    [(1, 10**9, 256, 256), (100, 2 * 25600, 256, 256), (100, 2 * 25600 - 1, 256, 128), (100, 0, 256, 1), (0, 0, 7, 7)],
)
def test_rows_are_halved_until_they_fit(each: int, free: int, most: int, rows: int) -> None:
    assert MARGIN == 2 and rows_that_fit(each, free, most) == rows


@pytest.mark.parametrize("name", ["sd1", "flux2"])
def test_a_models_rows_follow_what_is_free(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row takes more than its latents; twice as many take about twice as much; the state of chance stays."""
    model = toy(name)
    before, each = torch.get_rng_state(), bytes_a_row(model)
    assert each > 4 * model.noise([0]).numel() and torch.equal(torch.get_rng_state(), before)
    with torch.no_grad(), PeakBytes() as count:
        model.eps(model.noise([0, 1]), 500, model.encode(["", ""]))
    assert each < count.peak
    monkeypatch.setattr("turpentine.models.row_memory.free_memory", lambda device: int(each * MARGIN * 16))
    assert fitting_rows(model) == 16 and fitting_rows(model, 8) == 8


def test_what_fitted_once_stays_with_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers hang on the rows of a call: a run that was broken off goes on with as many, whatever is free by then."""
    model, free = toy("sd1"), iter([64, 256, 8])
    monkeypatch.setattr("turpentine.models.row_memory.fitting_rows", lambda model: next(free))
    choice = VisitChoice()
    assert [choice.rows_on(model, tmp_path) for _ in range(2)] == [64, 64]
    assert capsys.readouterr().err.count("Memory is short") == 1
    assert choice.rows_on(model, tmp_path / "other") == 256
    assert VisitChoice(rows=3).rows_on(model, tmp_path) == 3
    assert VisitChoice(dry_run=True).rows_on(model, tmp_path / "none") == 8 and not (tmp_path / "none").exists()


def test_a_picture_that_cannot_be_decoded_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy("sd1")
    channels = model.pipeline.vae.config.block_out_channels[0]
    needed = 64 * 32 * 4 * (2 * channels + 3)
    monkeypatch.setattr(row_memory, "free_memory", lambda device: needed)
    assert model.generate("a church", steps=1, size=(64, 32), progress=False)[0].size == (32, 64)
    monkeypatch.setattr(row_memory, "free_memory", lambda device: needed - 1)
    with pytest.raises(NoMemory, match=r"A picture of 64 x 32 pixels takes .* take a smaller size"):
        model.generate("a church", steps=1, size=(64, 32), progress=False)
    model.generate("a church", steps=1, progress=False)  # of its own size it asks nothing
