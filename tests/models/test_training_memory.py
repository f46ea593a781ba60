"""What a training takes is reckoned beforehand: held against what is counted, and refused where it does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from allocated import allocated_peak
from edits.weights import weights_hash

from turpentine.concepts import Concept
from turpentine.core.errors import NoMemory
from turpentine.edits.low_rank import LowRank
from turpentine.erase._training.rows import OnlyRows
from turpentine.erase._training.training import Adam, Masters, Trained
from turpentine.erase.esd import ESD, esd_sites
from turpentine.models import Model
from turpentine.models.row_memory import PLENTY, PeakBytes
from turpentine.models.training_memory import Training, bytes_a_trained_row, check_training_fits
from turpentine.testing.toys import TOYS, TRANSFORMERS, toy

QUICK = ESD(sites="all", steps=1, trajectories=1, sampling_steps=2, batch_size=8)


def weights_of(model: Model, sites: str) -> dict[str, torch.Tensor]:
    return {name: model.parameter(name).detach() for name in esd_sites(model, sites).parameters()}


def rows_of(model: Model, rows: int) -> dict[str, Any]:
    t = torch.full((rows,), model.schedule.training_steps // 2)
    return {"x": model.noise(range(rows)), "t": t, "cond": model.encode([""] * rows)}


def updated(model: Model, trained: Trained, inputs: dict[str, Any]) -> Adam:
    """Two updates, and the change that they end in."""
    adam = Adam(trained, 1e-4, model.dtype)
    for _ in range(2):
        adam.update(model.followed(**inputs, parameters=trained.current()).float().square().mean())
    trained.deltas()
    return adam


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["sd1", "sd3"])
@pytest.mark.parametrize(("sites", "rank", "rows"), [("x", None, 2), ("x", 4, 4), ("all", None, 1), ("all", 1, 2)])
def test_the_reckoned_memory_is_what_updates_take(
    name: str, dtype: torch.dtype, sites: str, rank: int | None, rows: int
) -> None:
    """Within 5 % of what lives at a time in two updates of the real training, in a UNet and in a transformer."""
    model = toy(name).to(dtype=dtype)
    weights, inputs = weights_of(model, sites), rows_of(model, rows)
    training = Training(weights, rows, 0, rank=rank)
    training = Training(weights, rows, bytes_a_trained_row(model, training.trained), rank=rank)
    with PeakBytes() as count:
        updated(model, Masters(model, weights) if rank is None else LowRank(training.trained, rank, 0), inputs)
    assert training.total == pytest.approx(count.peak, rel=0.05)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_torchs_profiler_sees_as_much_of_a_batch(name: str) -> None:
    """Rows by the activations of one are what torch allocates forward and backward, within 6 %."""
    model, rows = toy(name), 8
    weights, inputs = weights_of(model, "x"), rows_of(model, rows)

    def step() -> None:
        own = {key: weight.detach().requires_grad_() for key, weight in weights.items()}
        torch.autograd.grad(model.followed(**inputs, parameters=own).square().mean(), list(own.values()))

    step()
    assert rows * bytes_a_trained_row(model, weights) == pytest.approx(allocated_peak(step), rel=0.06)


@pytest.mark.parametrize("rank", [None, 2])
def test_parts_are_the_bytes_of_real_tensors(sd1: Model, rank: int | None) -> None:
    weights = weights_of(sd1, "all")
    training = Training(weights, 1, 0, rank=rank)
    trained = Masters(sd1, weights) if rank is None else LowRank(training.trained, rank, 0)
    adam = updated(sd1, trained, rows_of(sd1, 1))
    assert training.numbers == sum(each.numel() for each in trained.tensors.values())
    assert training.held == sum(each.nbytes for each in trained.tensors.values())
    moments = [each for name, each in adam.state().items() if name.startswith("exp_avg")]
    assert training.moments == sum(each.nbytes for each in moments)
    assert training.backward == 4 * sum(each.numel() for each in trained.deltas().values())


def test_rows_that_stay_cost_a_copy(sd1: Model) -> None:
    weights = {"unet.conv_out.weight": sd1.parameter("unet.conv_out.weight").detach()}
    (name,), inputs = weights, rows_of(sd1, 4)
    plain = Training(weights, 4, bytes_a_trained_row(sd1, weights))
    masked = Training(weights, 4, plain.row, masked=frozenset(weights))
    assert masked.total - plain.total == weights[name].nbytes
    with PeakBytes() as count:
        updated(sd1, OnlyRows(Masters(sd1, weights), weights, {name: [(0, 1)]}), inputs)
    assert masked.total == pytest.approx(count.peak, rel=0.05)


@pytest.mark.parametrize("name", [*TOYS, *TRANSFORMERS])
def test_no_row_takes_as_much_as_is_called_plenty(name: str) -> None:
    """And to try one changes nothing of the model, nor of chance."""
    model = toy(name)
    before, state = weights_hash(model), torch.get_rng_state()
    row = bytes_a_trained_row(model, weights_of(model, "all"))
    size = sum(weight.nbytes for weight in model.denoiser.parameters())
    assert 0 < row < PLENTY * size
    assert weights_hash(model) == before and torch.equal(torch.get_rng_state(), state)
    assert not any(each.requires_grad or each.grad is not None for each in model.denoiser.parameters())


def with_free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("turpentine.models.training_memory.free_memory", lambda device: size)


def test_what_does_not_fit_is_refused_with_what_would(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any row of the denoiser but one; what the message names is taken."""
    weights = weights_of(sd1, "all")
    row = bytes_a_trained_row(sd1, weights)
    whole, single, thin = (Training(weights, rows, row, rank=rank) for rows, rank in ((8, None), (1, None), (8, 4)))
    assert single.total < thin.total < whole.total
    with_free(monkeypatch, whole.total - 1)
    numbers = (
        rf"Training {whole.numbers:,} numbers of .* takes .* beside the model \(.* for them, .* for Adam's moments"
    )
    ways = r"give --batch-size 1, which takes .*; or --rank 4, which takes .*; or --dtype fp16, which takes"
    with pytest.raises(NoMemory, match=rf"{numbers}, .* for 8 rows forward and backward\), .* are free on cpu: {ways}"):
        QUICK(sd1, Concept("church"))
    with_free(monkeypatch, whole.total)
    assert QUICK(sd1, Concept("church")).names
    with_free(monkeypatch, single.total)
    with pytest.raises(NoMemory, match=r"on cpu: give --batch-size 1, which takes [^;]*\.$"):
        QUICK(sd1, Concept("church"))
    assert ESD(sites="all", steps=1, trajectories=1, sampling_steps=2)(sd1, Concept("church")).names


def test_where_one_flag_is_too_little_they_are_named_together(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights_of(sd1, "all")
    both = Training(weights, 1, bytes_a_trained_row(sd1, weights), rank=4)
    with_free(monkeypatch, both.total)
    with pytest.raises(NoMemory, match=r"give --batch-size 1 and --rank 4, which takes"):
        QUICK(sd1, Concept("church"))
    with_free(monkeypatch, 10)
    with pytest.raises(
        NoMemory, match=r"even with --batch-size 1 and --rank 4 and --dtype fp16 it takes .*; train fewer"
    ):
        QUICK(sd1, Concept("church"))


def test_a_row_that_fills_the_memory_is_refused_too(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> int:
        raise MemoryError

    monkeypatch.setattr("turpentine.models.training_memory.bytes_a_trained_row", full)
    weights = weights_of(sd1, "x")
    with_free(monkeypatch, 2 * Training(weights, 1, 0).total)
    with pytest.raises(NoMemory, match=r"a single row of .* do not fit .* try --dtype fp16, train fewer"):
        check_training_fits(sd1, Training(weights, 1, 0), {})
    norms = {name: weight for name, weight in weights_of(sd1, "u").items() if weight.ndim == 1}
    check_training_fits(sd1, Training(norms, 1, 0, rank=4), {})  # nothing to train is refused elsewhere, in other words
    monkeypatch.setattr("turpentine.models.training_memory.bytes_a_trained_row", lambda *args: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        check_training_fits(sd1, Training(weights, 1, 0), {})
