"""The training loop: what an update does, what a state holds, and whose weights are touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from edits.weights import NAMES, weights_hash
from tiny import tiny_sd1

from turpentine.core.errors import NotFinite
from turpentine.core.parts import Parts
from turpentine.erase._training.training import Adam, Masters, substituted, train
from turpentine.models import Model

LR = 1e-2


def loss_of(masters: Masters, index: int) -> torch.Tensor:
    """A loss whose gradient differs by weight and by update."""
    return sum((weight * (index + 1) - 0.1).square().sum() for weight in masters.tensors.values())


def test_an_update_is_adams_written_out(sd1: Model) -> None:
    masters = Masters(sd1, NAMES[:1])
    weight = masters.tensors[NAMES[0]].detach().double().clone()
    m, v = torch.zeros_like(weight), torch.zeros_like(weight)
    adam = Adam(masters, LR, torch.float32)
    for index in range(4):
        gradient = 2 * (weight * (index + 1) - 0.1) * (index + 1)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.square()
        corrected = (v / (1 - 0.999 ** (index + 1))).sqrt() + 1e-8
        weight = weight - LR * (m / (1 - 0.9 ** (index + 1))) / corrected
        adam.update(loss_of(masters, index))
    assert adam.updates == 4 and adam.is_whole
    torch.testing.assert_close(masters.tensors[NAMES[0]].detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_in_half_precision_small_updates_add_up() -> None:
    model = Model(tiny_sd1().to(torch.float16))
    before = weights_hash(model)
    masters = Masters(model, NAMES[:1])
    adam = Adam(masters, 1e-6, torch.float16)
    for _ in range(3):
        adam.update(1e-3 * masters.tensors[NAMES[0]].mean())
    delta = masters.deltas()[NAMES[0]]
    torch.testing.assert_close(delta, torch.full_like(delta, -3e-6), rtol=1e-2, atol=1e-7)
    assert masters.current()[NAMES[0]].dtype == torch.float16
    assert weights_hash(model) == before


def test_a_restored_state_goes_on_bit_by_bit(sd1: Model) -> None:
    unbroken, resumed = Masters(sd1, NAMES), Masters(sd1, NAMES)
    adam = Adam(unbroken, LR, torch.float32)
    for index in range(3):
        adam.update(loss_of(unbroken, index))
    state = {name: tensor.clone() for name, tensor in adam.state().items()}
    adam.update(loss_of(unbroken, 3))
    again = Adam(resumed, LR, torch.float32)
    again.restore(state)
    assert again.updates == 3
    again.update(loss_of(resumed, 3))
    assert all(torch.equal(unbroken.tensors[name], resumed.tensors[name]) for name in NAMES)


def test_substituted_weights_come_off_also_after_an_error(sd1: Model) -> None:
    before = weights_hash(sd1)
    tensors = {NAMES[0]: torch.zeros_like(sd1.parameter(NAMES[0]))}
    inside = []

    def fail() -> None:
        with substituted(sd1, tensors):
            inside.append(sd1.parameter(NAMES[0]).clone())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert not inside[0].any()
    assert weights_hash(sd1) == before


def test_every_update_is_reported_and_its_loss_goes_by_its_index(sd1: Model) -> None:
    masters = Masters(sd1, NAMES[:1])
    reports, indices = [], []

    def loss_at(index: int) -> torch.Tensor:
        indices.append(index)
        return loss_of(masters, index)

    train(
        Adam(masters, LR, torch.float32),
        loss_at,
        updates=3,
        checkpoint=Parts(None, None),
        after_update=reports.append,
    )
    assert reports == [0, 1, 2, 3]
    assert indices == [0, 1, 2]


@pytest.mark.parametrize(
    ("factor", "message"),
    [(float("nan"), "gradient of .* in update 1"), (float("inf"), "gradient of .* in update 1")],
)
def test_a_gradient_that_is_not_finite_stops_the_run(sd1: Model, tmp_path: Path, factor: float, message: str) -> None:
    masters = Masters(sd1, NAMES[:1])
    before = masters.tensors[NAMES[0]].detach().clone()
    with pytest.raises(NotFinite, match=message):
        train(
            Adam(masters, LR, torch.float32),
            lambda index: factor * loss_of(masters, index),
            updates=2,
            checkpoint=Parts(tmp_path / "run", {}),
            after_update=lambda updates: None,
        )
    assert torch.equal(masters.tensors[NAMES[0]].detach(), before)
    assert not (tmp_path / "run").exists()
