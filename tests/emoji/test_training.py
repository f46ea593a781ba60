"""The training loop: the same outcome after a kill, and the pieces of the recipe against plain transcriptions."""

from __future__ import annotations

import copy
import math
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from emoji import training_worker
from hypothesis import given
from hypothesis import strategies as st
from processes import Started
from safetensors.torch import load_file
from transformers import CLIPTokenizer
from waiting import wait_for

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.emoji.captions import stream, vocabulary
from turpentine.emoji.judge_network import ANSWERS, JudgeNet
from turpentine.emoji.towers import LENGTH, Towers, text_config
from turpentine.emoji.train import autoencoder
from turpentine.emoji.train import denoiser as unet
from turpentine.emoji.train import judge_stage as judge
from turpentine.emoji.train import towers_stage as towers
from turpentine.emoji.train.assemble import pipeline
from turpentine.emoji.train.loop import StageRun, StageSchedule
from turpentine.emoji.train.muon import orthogonalized
from turpentine.emoji.train.presets import PRESETS, Preset, Stage
from turpentine.emoji.train.stages import WorldTraining
from turpentine.emoji.train.update import Batch, Loss
from turpentine.emoji.world import SCENES


@pytest.fixture(scope="module")
def learnt() -> CLIPTokenizer:
    """Learnt from all captions, once; to be copied, since use changes how it pads."""
    return towers.build_tokenizer(320)


@pytest.fixture
def tokenizer(learnt: CLIPTokenizer) -> CLIPTokenizer:
    """As it was learnt."""
    return copy.deepcopy(learnt)


def nothing(rng: np.random.Generator) -> Batch:
    """A batch for a loss that needs none."""
    return {}


def state_in(folder: Path) -> Path:
    """The file of a training's state."""
    [path] = folder.glob("[0-9a-f]*.safetensors")
    return path


def start(folder: Path, updates: int) -> Started:
    return Started(folder.parent, training_worker.train, folder, updates)


def test_a_killed_run_ends_in_the_same_weights(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    stage = training_worker.run(calm, 16)
    stage.train(autoencoder.loss(stage.module, 2, 16), lambda line: None)
    process = start(killed, 16)
    wait_for(lambda: any(killed.glob("[0-9a-f]*.safetensors")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = start(killed, 16)
    said = again.communicate()[0]
    assert again.poll() == 0 and "continuing at update" in said
    expected, got = (load_file(state_in(folder)) for folder in (calm, killed))
    assert expected.keys() == got.keys()
    assert expected.pop("log/seconds").shape == got.pop("log/seconds").shape
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_the_log_has_each_update_once_after_a_resume(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = autoencoder.build((8, 8), 1, 16)
    loss = autoencoder.loss(vae, 2, 16)
    weights = {name: weight.clone() for name, weight in vae.state_dict().items()}

    def stopped_after(updates: float) -> Loss:
        def drawn(rng: np.random.Generator) -> Batch:
            if run.step >= updates:
                raise KeyboardInterrupt
            return loss.draw(rng)

        return Loss(drawn, loss.value)

    for updates in (6, math.inf):
        vae.load_state_dict(weights)
        run = StageRun("small", vae, StageSchedule(updates=10, lr=1e-3, checkpoint_every=4), tmp_path)
        with suppress(KeyboardInterrupt):
            run.train(stopped_after(updates), (said := []).append)
    assert said[0] == "small: continuing at update 4 of 10"
    steps = [line.split(",")[0] for line in (tmp_path / "small.csv").read_text().splitlines()[1:]]
    assert steps == [str(n) for n in range(1, 11)]


def test_a_folder_holds_one_training_only(tmp_path: Path) -> None:
    WorldTraining(PRESETS["cpu"], tmp_path, print)
    WorldTraining(PRESETS["cpu"], tmp_path, print)
    with pytest.raises(BadArgument, match="other settings"):
        WorldTraining(PRESETS["gpu"], tmp_path, print)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_update(tmp_path: Path) -> None:
    module = torch.nn.Linear(1, 1)
    run = StageRun("small", module, StageSchedule(updates=2, lr=1e-3), tmp_path)
    with pytest.raises(NotFinite, match="small: the loss is nan at update 0"):
        run.train(Loss(nothing, lambda batch: module.weight.sum() * float("nan")), lambda line: None)


def test_the_average_takes_the_place_of_the_weights_at_the_end(tmp_path: Path) -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 1.0)
    run = StageRun("small", module, StageSchedule(updates=2, lr=0.5, warmup=1, ema=0.5), tmp_path)
    seen = [1.0]

    def value(batch: Batch) -> torch.Tensor:
        if run.step:
            seen.append(module.weight.item())
        return module.weight.sum()

    run.train(Loss(nothing, value), lambda line: None)
    last = load_file(state_in(tmp_path))["weights/weight"].item()
    average = seen[0]
    for step, weight in enumerate([seen[1], last], start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    assert module.weight.item() == pytest.approx(average, rel=1e-6)


def test_in_bf16_the_network_computes_and_the_weights_stay_fp32(tmp_path: Path) -> None:
    module = torch.nn.Linear(4, 4)
    run = StageRun("small", module, StageSchedule(updates=1, lr=1e-3, bf16=True), tmp_path)
    seen: list[torch.dtype] = []

    def value(batch: Batch) -> torch.Tensor:
        y = module(torch.ones(1, 4).to(module.weight.dtype))
        seen.append(y.dtype)
        return y.float().square().mean()

    run.train(Loss(nothing, value), lambda line: None)
    assert seen == [torch.bfloat16]
    assert {
        tensor.dtype for tensor in [*run.doing.weights.values(), *run.doing.average.values(), *module.parameters()]
    } == {torch.float32}


def test_a_family_of_captions_is_one_object_in_its_styles_and_scenes() -> None:
    family = towers.families(np.random.default_rng(3), 400)
    assert len(family) == 400
    for item in family:
        if item.kind == "scene":
            assert item.caption in SCENES and item.picture.placed[0].object == SCENES[item.caption]
        else:
            assert f" in {item.picture.placed[0].style} style" in item.caption
    assert len({item.caption for item in family if item.kind == "scene"}) > 5


def tiny(updates: int) -> Preset:
    stage = Stage(4, StageSchedule(updates=updates, lr=1e-2, warmup=1, ema=0.5))
    return replace(
        PRESETS["cpu"],
        vae_channels=(8, 8, 8),
        text_width=16,
        text_layers=1,
        text_heads=2,
        unet_channels=(16, 16, 16, 16),
        unet_heads=2,
        cached_pictures=16,
        **dict.fromkeys(("autoencoder", "towers", "unet", "finish"), stage),
    )


def test_the_denoisers_second_lesson_begins_where_the_first_ended_and_is_read_back(
    learnt: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(towers, "build_tokenizer", lambda entries, mixture: copy.deepcopy(learnt))

    def trained(said: list[str]) -> tuple[dict[str, torch.Tensor], float]:
        recipe = training(said)
        vae, both = recipe.autoencoder(), recipe.towers()
        denoiser = recipe.unet(vae, both)
        return denoiser.state_dict(), vae.config.scaling_factor

    def training(said: list[str]) -> WorldTraining:
        return WorldTraining(tiny(2), tmp_path, said.append)

    weights, scale = trained([])
    first = training([]).weights.get("unet")
    assert any(not torch.equal(first[name], weights[name]) for name in first)
    assert all((first[name] - weights[name]).abs().max() < 0.2 for name in first), "two small updates away"
    training([]).weights.discard("finish")
    again, scale_again = trained(said := [])
    assert any("finish: continuing at update 2 of 2" in line for line in said)
    assert scale_again == scale and all(torch.equal(again[name], weights[name]) for name in weights)


def test_a_judges_truth_shares_two_objects_by_their_area() -> None:
    x, truth = judge.labelled(np.random.default_rng(0), 400, 32)
    assert len(x) == len(truth.object)
    torch.testing.assert_close(truth.object.sum(1), torch.ones(400))
    shares = truth.object.max(1).values
    assert ((shares == 1) | (shares >= 0.5)).all()
    # Side by side two are nearly alike; a scene's object is far larger than what stands beside it.
    assert ((shares > 0.4) & (shares < 0.6)).any() and ((shares > 0.7) & (shares < 0.9)).any()


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    schedule = StageSchedule(updates=110, lr=1.0, warmup=10)
    assert schedule.factor(0) == pytest.approx(0.1) and schedule.factor(9) == 1.0
    assert schedule.factor(60) == pytest.approx(0.01 + 0.99 / 2) and schedule.factor(110) == pytest.approx(0.01)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99))
def test_orthogonalizing_keeps_directions_and_evens_out_lengths(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) + 3 * torch.eye(rows, columns)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    [nearest] = orthogonalized([matrix])
    found = u.T @ nearest @ v.T
    large = s > 0.05 * s[0]
    assert ((found.diagonal()[large] > 0.4) & (found.diagonal()[large] < 1.4)).all()
    assert (found - found.diagonal().diag()).abs().max() < 0.02


class Silent(torch.nn.Module):
    """A denoiser that predicts no noise, and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, t: torch.Tensor, hidden: torch.Tensor):
        self.seen = x, t, hidden
        return type("Output", (), {"sample": 0 * x + self.weight})()


def test_the_denoisers_loss_is_min_snr_weighted_noise_error() -> None:
    cached = unet.LatentCache(
        torch.zeros(3, 4, 8, 8),
        torch.zeros(3, 4, 8, 8),
        torch.tensor([1, 2, 1]),
        torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0)),
        torch.zeros(3, 0),
    )
    denoiser = Silent()
    value = unet.loss(denoiser, cached, 0.5, 32)(np.random.default_rng(5))
    x, t, hidden = denoiser.seen
    # The latents are 0, so x_t = √(1 − ᾱ)·ε tells what ε was.
    alpha = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[t]
    eps = x / (1 - alpha).sqrt().view(-1, 1, 1, 1)
    snr = alpha / (1 - alpha)
    expected = ((snr.clamp(max=5) / snr) * (eps**2).mean((1, 2, 3))).mean()
    torch.testing.assert_close(value.squeeze(), expected, rtol=1e-4, atol=1e-5)
    assert {tuple(h.shape) for h in hidden} == {(5, 6)}
    assert (t.diff() >= 0).all() and t.max() > 900 and t.min() < 60


def test_one_caption_in_ten_is_empty() -> None:
    cached = unet.LatentCache(
        torch.zeros(1, 4, 8, 8),
        torch.zeros(1, 4, 8, 8),
        torch.tensor([1]),
        torch.tensor([[[0.0]], [[1.0]]]),
        torch.zeros(2, 0),
    )
    denoiser = Silent()
    unet.loss(denoiser, cached, 1.0, 2000)(np.random.default_rng(0))
    assert 0.07 < (denoiser.seen[2] == 0).float().mean() < 0.13


def test_scaled_latents_have_unit_variance() -> None:
    random = torch.Generator().manual_seed(0)
    mean, std = 3 * torch.randn(400, 4, 2, 2, generator=random), torch.full((400, 4, 2, 2), 0.5)
    cached = unet.LatentCache(mean, std, torch.zeros(400, dtype=torch.long), torch.zeros(1, 1, 1), torch.zeros(1, 0))
    scaled = unet.scaling_factor(cached) * (mean + std * torch.randn(mean.shape, generator=random))
    assert scaled.std().item() == pytest.approx(1, abs=0.03)


def test_the_denoiser_has_stable_diffusions_sixteen_cross_attentions() -> None:
    denoiser = unet.build((16, 16, 16, 16), 2, 8, 8)
    names = [name for name, _ in denoiser.named_modules() if name.endswith("attn2")]
    per_block = [sum(name.startswith(part) for name in names) for part in ("down_blocks", "mid_block", "up_blocks")]
    assert per_block == [6, 1, 9]


def test_the_tokenizer_is_small_knows_every_word_and_splits_some(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer) <= 1024
    pieces = {word: tokenizer(word).input_ids[1:-1] for word in vocabulary()}
    assert not any(tokenizer.eos_token_id in ids for ids in pieces.values())
    assert any(len(ids) > 1 for ids in pieces.values())
    drawn = stream(2)
    assert max(len(tokenizer(next(drawn).caption).input_ids) for _ in range(500)) <= LENGTH


def test_a_tokenizer_is_written_as_it_was_learnt_whatever_it_was_used_for(
    tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    both = Towers(tokenizer, text_config(tokenizer, 16, 1, 2))
    vae, denoiser = autoencoder.build((8, 8, 8), 1, 32), unet.build((16, 16, 16, 16), 2, 16, 8)
    pipeline(vae, both, denoiser).tokenizer.save_pretrained(tmp_path / "fresh")
    both.tokens(["a church"])
    pipeline(vae, both, denoiser).tokenizer.save_pretrained(tmp_path / "used")
    fresh, used = ((tmp_path / name / "tokenizer.json").read_text() for name in ("fresh", "used"))
    assert fresh == used and '"padding": null' in used


def test_every_process_learns_the_same_tokenizer(learnt: CLIPTokenizer, tmp_path: Path) -> None:
    """One whose strings have other hashes than here."""
    out, err = Started(tmp_path, training_worker.learn_tokens, 320).communicate()
    hashed, vocabulary = out.splitlines()
    assert hashed != str(hash("church")), err
    assert vocabulary == str(sorted(learnt.get_vocab().items()))
    assert "church</w>" in vocabulary


def test_pictures_with_one_caption_are_no_contradiction(
    tokenizer: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Towers(tokenizer, text_config(tokenizer, 16, 1, 2))
    item = next(stream(1))
    monkeypatch.setattr(towers, "families", lambda rng, count, mixture: [item] * count)
    monkeypatch.setattr(towers, "draw", lambda rng, mixture: item)
    value = towers.loss(both, 4, 32)(np.random.default_rng(0))
    assert value.item() == pytest.approx(np.log(4), rel=1e-4), "all agree alike, so each has a quarter"


def small_vae() -> torch.nn.Module:
    return autoencoder.build((8, 8, 8), 1, 32).eval()


def test_disturbed_pictures_stay_pictures_and_nothing_has_no_style() -> None:
    rng = np.random.default_rng(0)
    x, truth = judge.augmented(rng, *judge.labelled(rng, 200, 32), small_vae())
    assert x.min() >= -1 and x.max() <= 1 and torch.isfinite(x).all()
    torch.testing.assert_close(truth.object.sum(1), torch.ones(200))
    nothing = truth.object[:, -1] == 1
    assert 0.05 < nothing.float().mean() < 0.3
    assert (truth.style[nothing] == -1).all() and (truth.style[~nothing] >= 0).all()
    assert (truth.colour[~nothing] >= 0).all()


def test_shuffled_tiles_are_the_same_pixels() -> None:
    x = torch.arange(3 * 32 * 32).float().view(3, 32, 32)
    shuffled = judge._shuffled(x, torch.Generator().manual_seed(1))
    assert not torch.equal(shuffled, x)
    assert torch.equal(shuffled.flatten().sort().values, x.flatten())
    assert torch.equal(shuffled[1] - shuffled[0], torch.full((32, 32), 1024.0)), "channels move together"


def test_calibration_cools_a_judge_that_is_too_sure() -> None:
    class Sure(JudgeNet):
        def logits(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            """Sure of an answer that has nothing to do with the picture."""
            sure = 40 * (x.flatten(1)[:, :1] > 0)
            return {a: torch.cat([sure, torch.zeros(len(x), len(v) - 1)], 1) for a, v in ANSWERS.items()}

    net = Sure()
    judge.calibrate(net, small_vae(), 32, pictures=64)
    assert (net.log_temperature > 1).all()
