"""The states of a training: where they come from, and what their targets are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from edits.weights import NAMES, weights_hash

from turpentine.core.errors import NotFinite
from turpentine.core.parts import Parts
from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase._training.states import FreshStates, SamplingSettings, StoredStates, TrainingPrompts
from turpentine.erase._training.training import Masters
from turpentine.models import Model, count_rows

SAMPLING = SamplingSettings(steps=4, guidance_scale=3.0, window=range(1, 3), seed=5)


def away(start: torch.Tensor, concept: torch.Tensor, uncond: torch.Tensor) -> torch.Tensor:
    return start - 2.0 * (concept - uncond)


PLAIN = TrainingPrompts(("church", "a church"), ("church", "a church"), away)
NAMING = ("a church and a dog", "church")
COMPANY = TrainingPrompts(NAMING, NAMING, away, rest=("a dog", ""))
FROM = TrainingPrompts(("red", "red"), ("a red church", "a red church"), away, is_from=True)


def ignored(done: int, total: int) -> None:
    pass


def expected_target(model: Model, prompts: TrainingPrompts, x: torch.Tensor, t: torch.Tensor, row: int) -> torch.Tensor:
    """ε̃ of one row by three calls of the denoiser."""
    texts = ("", prompts.concept[row], prompts.trained[row])
    uncond, concept, trained = (model.eps(x, t, model.encode([text])) for text in texts)
    return away(trained if prompts.is_from else uncond, concept, uncond)


@pytest.mark.parametrize("prompts", [PLAIN, FROM], ids=["concept", "from"])
@pytest.mark.parametrize("kind", ["stored", "fresh"])
def test_the_target_is_the_frozen_models(sd1: Model, kind: str, prompts: TrainingPrompts) -> None:
    if kind == "stored":
        states = StoredStates(sd1, prompts, SAMPLING, Parts(None, None), ignored)
    else:
        states = FreshStates(sd1, prompts, SAMPLING, Masters(sd1, NAMES[:1]))
    batch = states.batch(3, size=4)
    assert batch.x.shape == batch.target.shape == (4, 4, 8, 8)
    hidden = [sd1.encode([text]).hidden for text in prompts.trained]
    for index in range(4):
        x, t = batch.x[index : index + 1], batch.t[index : index + 1]
        row = next(row for row, each in enumerate(hidden) if torch.equal(each[0], batch.cond.hidden[index]))
        torch.testing.assert_close(
            batch.target[index : index + 1], expected_target(sd1, prompts, x, t, row), rtol=1e-4, atol=1e-5
        )


def test_company_is_not_led_away_from_and_some_rows_keep_it(sd1: Model) -> None:
    states = StoredStates(sd1, COMPANY, SAMPLING, Parts(None, None), ignored, preserved=0.5)
    batch = states.batch(3, size=24)
    erased, rests = (sd1.encode(list(texts)).hidden for texts in (COMPANY.concept, COMPANY.rest))
    rows = set()
    for index in range(24):
        x, t = batch.x[index : index + 1], batch.t[index : index + 1]
        among = erased if index < 12 else rests
        row = next(n for n in range(2) if torch.equal(among[n], batch.cond.hidden[index]))
        rest, concept = (sd1.eps(x, t, sd1.encode([text[row]])) for text in (COMPANY.rest, COMPANY.concept))
        expected = rest - 2.0 * (concept - rest) if index < 12 else rest
        torch.testing.assert_close(batch.target[index : index + 1], expected, rtol=1e-4, atol=1e-5)
        rows.add((index < 12, row))
    assert rows == {(True, 0), (True, 1), (False, 0), (False, 1)}


def test_a_batch_goes_by_the_update_alone(sd1: Model) -> None:
    states = StoredStates(sd1, PLAIN, SAMPLING, Parts(None, None), ignored)
    first, again, other = states.batch(1, 8), states.batch(1, 8), states.batch(2, 8)
    assert torch.equal(first.x, again.x) and torch.equal(first.t, again.t)
    assert not torch.equal(first.x, other.x)


def test_stored_trajectories_are_not_sampled_again(sd1: Model, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    first = StoredStates(sd1, PLAIN, SAMPLING, Parts(tmp_path, {}), lambda done, total: reports.append((done, total)))
    assert reports[-1] == (8, 8) and reports == sorted(reports)
    with count_rows(sd1) as count:
        again = StoredStates(sd1, PLAIN, SAMPLING, Parts(tmp_path, {}), ignored)
    assert count.rows == 0
    assert torch.equal(first.batch(0, 6).target, again.batch(0, 6).target)


def test_fresh_states_follow_the_trained_weights_and_leave_the_model_alone(sd1: Model) -> None:
    before = weights_hash(sd1)
    masters = Masters(sd1, NAMES[2:])
    states = FreshStates(sd1, PLAIN, SamplingSettings(4, 3.0, range(3, 4), 5), masters)
    untrained = states.batch(0, 2)
    with torch.no_grad():
        masters.tensors[NAMES[2]].mul_(1.5)
    trained = states.batch(0, 2)
    assert torch.equal(untrained.t, trained.t)
    assert not torch.allclose(untrained.x, trained.x)
    assert weights_hash(sd1) == before


def test_a_target_that_is_not_finite_names_the_prompt_and_the_step(sd1: Model) -> None:
    broken = TrainingPrompts(("church",), ("church",), lambda start, concept, uncond: concept / 0)
    with pytest.raises(NotFinite, match=r"'church' in step 2 of 4"):
        StoredStates(sd1, broken, SAMPLING, Parts(None, None), ignored)


def test_noise_seeds_are_far_from_small_ones_and_repeat() -> None:
    seeds = noise_seeds(draws("trajectories", 0), 50)
    assert min(seeds) >= 2**31 and max(seeds) < 2**32 and len(set(seeds)) == 50
    assert seeds == noise_seeds(draws("trajectories", 0), 50)
    assert seeds != noise_seeds(draws("updates", 0), 50)
    assert noise_seeds(draws("updates", 0, 1), 5) != noise_seeds(draws("updates", 0, 2), 5)


def test_in_little_memory_fewer_are_sampled_together_to_the_same_states(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And as many after a kill, whatever is free by then."""

    def widest(folder: Path | None) -> tuple[StoredStates, int]:
        calls: list[int] = []
        handle = sd1.denoiser.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
        states = StoredStates(sd1, FROM, SAMPLING, Parts(folder, "a run"), ignored)
        handle.remove()
        return states, max(calls)

    plain, most = widest(None)
    monkeypatch.setattr("turpentine.models.row_memory.free_memory", lambda device: 0)
    little, fewest = widest(tmp_path)
    assert (most, fewest) == (4, 2)
    for part in tmp_path.iterdir():
        if part.stat().st_size > 1000:  # the trajectories, and not how many were sampled together
            part.unlink()
    monkeypatch.undo()
    again, count = widest(tmp_path)
    assert count == 2
    ours, theirs, last = (states.batch(0, 8) for states in (plain, little, again))
    torch.testing.assert_close(ours.target, theirs.target, rtol=1e-4, atol=1e-5)
    assert torch.equal(theirs.target, last.target)
