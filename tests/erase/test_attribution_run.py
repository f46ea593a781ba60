"""An attribution that is stopped between two batches goes on to the same α, and makes its points once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from turpentine.attribution import Objective, attribute
from turpentine.core.parts import Parts
from turpentine.core.progress import Counter
from turpentine.erase._attribution_run import ResumableAttribution
from turpentine.erase._training.training import TRAINED_ROW
from turpentine.models import Model

PROMPTS = ("church", "a church")
POINTS = 6
NAMES = tuple(f"unet.mid_block.attentions.0.transformer_blocks.0.ff.net.{layer}.weight" for layer in ("0.proj", "2"))


def objective(model: Model) -> Objective:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return Objective.denoising(model, latents, PROMPTS, seeds=[1, 2, 3])


def counter(reports: list[int] | None = None) -> Counter:
    return Counter(None if reports is None else lambda done, total: reports.append(done), TRAINED_ROW * POINTS)


def interrupting(at: int) -> Counter:
    """A counter that sends Ctrl-C once so many rows are done."""

    def report(done: int, total: int) -> None:
        if done == at:
            signal.raise_signal(signal.SIGINT)

    return Counter(report, TRAINED_ROW * POINTS)


def test_it_is_the_plain_attribution(sd1: Model) -> None:
    reports: list[int] = []
    run = ResumableAttribution(Parts(None, None), 0, counter(reports))
    found = run.attribution(sd1, objective(sd1), NAMES, batch_size=2)
    plain = attribute(
        sd1, objective(sd1), sd1.sites.named([name.removesuffix(".weight") for name in NAMES]), batch_size=2
    )
    assert found.value == plain.value
    assert all(torch.equal(found.alpha[name], plain.alpha[name]) for name in NAMES)
    assert reports == [6, 12, 18]


def test_the_points_are_made_once_and_counted_when_they_are_read(sd1: Model, tmp_path: Path) -> None:
    made = []

    def make() -> Objective:
        made.append(1)
        return objective(sd1)

    first = ResumableAttribution(Parts(tmp_path, {}), 0, counter()).objective(sd1, PROMPTS, -1.0, 5, make)
    counting = counter()
    again = ResumableAttribution(Parts(tmp_path, {}), 0, counting).objective(sd1, PROMPTS, -1.0, 5, make)
    assert len(made) == 1 and counting.done == 5
    assert again.sign == first.sign
    assert all(torch.equal(getattr(again, name), getattr(first, name)) for name in ("x", "t", "target", "row"))
    other = ResumableAttribution(Parts(tmp_path, {}), 1, counter()).objective(sd1, PROMPTS, -1.0, 5, make)
    assert len(made) == 2 and len(other) == len(first), "another concept has points of its own"


def test_ctrl_c_stops_between_two_batches_and_the_rest_is_the_same(sd1: Model, tmp_path: Path) -> None:
    whole = ResumableAttribution(Parts(None, None), 0, counter()).attribution(sd1, objective(sd1), NAMES, 2)
    with pytest.raises(KeyboardInterrupt, match=f"at 2 points; the same command goes on from {tmp_path}"):
        ResumableAttribution(Parts(tmp_path, {}), 0, interrupting(6)).attribution(sd1, objective(sd1), NAMES, 2)
    reports: list[int] = []
    run = ResumableAttribution(Parts(tmp_path, {}), 0, counter(reports))
    resumed = run.attribution(sd1, objective(sd1), NAMES, 2)
    assert reports == [6, 12, 18], "the first batch is read, not computed again"
    assert resumed.value == whole.value
    assert all(torch.equal(resumed.alpha[name], whole.alpha[name]) for name in NAMES)


def test_without_a_folder_it_says_that_nothing_is_saved(sd1: Model) -> None:
    run = ResumableAttribution(Parts(None, None), 0, interrupting(6))
    with pytest.raises(KeyboardInterrupt, match="nothing was kept"):
        run.attribution(sd1, objective(sd1), NAMES, 2)
