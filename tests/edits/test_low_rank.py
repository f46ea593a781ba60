"""ΔW = B·A in the place of whole weights: where training begins, what it can reach, and that it goes on."""

from __future__ import annotations

from pathlib import Path

import torch
from edits.weights import NAMES
from tiny import tiny_sd1

from turpentine.core.parts import Parts
from turpentine.edits.low_rank import LowRank
from turpentine.erase._training.training import Adam, train
from turpentine.models import Model

CONV = "unet.mid_block.resnets.0.conv1.weight"


def weights(model: Model, *names: str) -> dict[str, torch.Tensor]:
    return {name: model.parameter(name).detach() for name in names}


def test_it_begins_at_the_model_and_stays_of_its_rank(sd1: Model) -> None:
    masters = LowRank(weights(sd1, NAMES[0], CONV), 2, seed=0)
    assert set(masters.current()) == {NAMES[0], CONV}
    assert all(torch.equal(weight, sd1.parameter(name)) for name, weight in masters.current().items())
    adam = Adam(masters, 1e-2, torch.float32)
    for index in range(4):
        adam.update(sum((weight * (index + 1) - 0.1).square().sum() for weight in masters.current().values()))
    for name, delta in masters.deltas().items():
        assert torch.linalg.matrix_rank(delta.flatten(1)) == 2
        torch.testing.assert_close(masters.current()[name], sd1.parameter(name) + delta)


def test_the_gradient_is_that_of_the_product() -> None:
    """∂L/∂B = (∂L/∂W)·Aᵀ, and ∂L/∂A = Bᵀ·(∂L/∂W), which is 0 where B is."""
    masters = LowRank(weights(Model(tiny_sd1()), NAMES[0]), 3, seed=1)
    down, up = masters.tensors.values()
    weight = masters.current()[NAMES[0]]
    of_weight = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    of_down, of_up = torch.autograd.grad((weight * of_weight).sum(), [down, up])
    torch.testing.assert_close(of_up, of_weight @ down.detach().T)
    assert not of_down.any()


def test_it_goes_on_bit_by_bit(sd1: Model, tmp_path: Path) -> None:
    def run(updates: int, parts: Parts) -> dict[str, torch.Tensor]:
        masters = LowRank(weights(sd1, *NAMES[:2]), 2, seed=0)
        adam = Adam(masters, 1e-2, torch.float32)

        def loss(index: int) -> torch.Tensor:
            return sum((weight * (index + 1)).square().sum() for weight in masters.current().values())

        train(adam, loss, updates=updates, checkpoint=parts, after_update=lambda count: None)
        parts.put("state", adam.state())
        return masters.deltas()

    run(2, Parts(tmp_path, ["a run"]))
    resumed, whole = run(4, Parts(tmp_path, ["a run"])), run(4, Parts(None, None))
    assert all(torch.equal(resumed[name], delta) for name, delta in whole.items())
