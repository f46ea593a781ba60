"""One update (`train.update`), Muon's stacked matrices, and batches that are drawn ahead (`train.feed`)."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from turpentine.emoji.train.feed import batches, batches_ahead
from turpentine.emoji.train.loop import StageRun, StageSchedule
from turpentine.emoji.train.muon import Muon, orthogonalized
from turpentine.emoji.train.update import Batch, Loss, Update


def numbers(rng: np.random.Generator, size: int) -> Batch:
    return {"x": torch.from_numpy(rng.normal(size=size))}


def test_batches_drawn_ahead_by_processes_are_the_same_in_the_same_order() -> None:
    draw = partial(numbers, size=3)
    with batches_ahead(draw, 5, 2, 14, workers=2) as drawn:
        ahead = [batch["x"] for batch in drawn]
    here = [batch["x"] for batch in batches(draw, 5, 2, 14)]
    assert len(ahead) == 12 and all(torch.equal(a, b) for a, b in zip(ahead, here, strict=True))


def test_matrices_in_a_stack_are_orthogonalized_as_alone() -> None:
    random = torch.Generator().manual_seed(0)
    shapes = [(4, 9), (9, 4), (4, 9), (6, 6), (4, 30)]
    matrices = [torch.randn(*shape, generator=random) for shape in shapes]
    for matrix, together in zip(matrices, orthogonalized(matrices), strict=True):
        [alone] = orthogonalized([matrix])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_muons_update_is_nesterovs_direction_made_orthogonal() -> None:
    weight = torch.nn.Parameter(torch.eye(3, 5))
    muon = Muon([weight], lr=0.1, momentum=0.5)
    expected, buffer = weight.detach().clone(), torch.zeros(3, 5)
    random = torch.Generator().manual_seed(1)
    for _ in range(3):
        weight.grad = torch.randn(3, 5, generator=random)
        buffer = 0.5 * buffer + weight.grad
        expected = expected - 0.1 * orthogonalized([weight.grad + 0.5 * buffer])[0]
        muon.step()
    torch.testing.assert_close(weight.detach(), expected)


def test_in_bf16_small_steps_add_up_in_the_weights() -> None:
    """A step of a thousandth is lost on a weight of 1 in bf16, whose next number is 1.0078."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 1.0)
    update = Update(module, lambda batch: module.weight.float().sum(), lr=1e-3, muon_lr=0.0, clip=1.0, bf16=True)
    for _ in range(10):
        update({}, 1.0, 0.0)
    assert module.weight.dtype == torch.bfloat16 and update.weights["weight"].item() < 0.991
    update.use_average()
    assert module.weight.dtype == torch.float32 and module.weight.item() < 0.991


def test_a_stage_with_little_time_ends_early_and_with_small_steps(tmp_path) -> None:
    schedule = StageSchedule(updates=10_000, lr=0.1, warmup=1, seconds=1e-6, checkpoint_every=10_000)
    module = torch.nn.Linear(1, 1)
    run = StageRun("short", module, schedule, tmp_path)
    said: list[str] = []
    run.train(Loss(lambda rng: {}, lambda batch: module.weight.square().sum()), said.append)
    assert run.step == 1 and said == ["short: its time is over after 1 updates"]
    assert schedule.factor(50, 1.0) == 0.01 and schedule.factor(50) > 0.9
    assert (tmp_path / "short.csv").read_text().count("\n") == 2
