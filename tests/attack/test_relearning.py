"""Relearning against a transcription of fine-tuning and of LoRA, and what it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from turpentine.attack._student import captioned
from turpentine.attack.attacked import Attacked, curve
from turpentine.attack.budget import Spent
from turpentine.attack.relearning import Relearning, updates_to
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptySelection, NoMemory
from turpentine.edits import Edit
from turpentine.models import Model
from turpentine.models.training_memory import Training, bytes_a_trained_row
from turpentine.stats.intervals import Rate
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

QUICK = Trial(steps=2, pictures=2, curve_pictures=1)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def relearned(model: Model, *changes: Any, **settings: Any) -> Attacked:
    references = model.generate("a church", seeds=[0, 1], steps=2)
    attack = Relearning(**{"updates": 3, "batch": 2, "stages": 1, "lr": 1e-3, **settings})
    return attack(Victim(model, changes), "church", references=references, judge=CoinJudge(), trial=QUICK, seed=7)


def deltas_of(outcome: Attacked) -> dict[str, torch.Tensor]:
    assert isinstance(outcome.artefact, Edit)
    return dict(outcome.artefact.deltas)


def transcribed(model: Model, updates: int, prepare: Any) -> tuple[Any, Any]:
    """Fine-tuning on the pipeline's own network in place."""
    pipeline = toy("sd1").pipeline
    x0 = model.encode_image(model.generate("a church", seeds=[0, 1], steps=2))
    prompts = Concept("church").prompts
    ids = pipeline.tokenizer(
        [prompts[row % len(prompts)] for row in range(2)], padding="max_length", max_length=16, return_tensors="pt"
    ).input_ids
    texts = pipeline.text_encoder(ids)[0].detach()
    trained = prepare(pipeline.unet)
    adam = torch.optim.Adam(trained, lr=1e-3)
    bars = pipeline.scheduler.alphas_cumprod
    for update in range(updates):
        dice = torch.Generator().manual_seed(7 * 1_000_003 + update)
        rows = torch.randint(2, (2,), generator=dice)
        noise = torch.randn((2, 4, 8, 8), generator=dice)
        t = torch.randint(1000, (2,), generator=dice)
        bar = bars[t][:, None, None, None]
        x = bar.sqrt() * x0[rows] + (1 - bar).sqrt() * noise
        loss = torch.nn.functional.mse_loss(pipeline.unet(x, t, texts[rows]).sample, noise)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return pipeline.unet, trained


def test_full_training_is_fine_tuning(model: Model) -> None:
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"

    def prepare(network: Any) -> list[Any]:
        network.requires_grad_(False)
        return list(network.get_submodule(name).requires_grad_().parameters())

    before = model.parameter(f"unet.{name}.weight").detach().clone()
    network, _ = transcribed(model, 3, prepare)
    deltas = deltas_of(relearned(model, weights="full", sites=(f"unet.{name}",)))
    assert list(deltas) == [f"unet.{name}.weight"]
    after = network.get_submodule(name).weight.detach()
    torch.testing.assert_close(deltas[f"unet.{name}.weight"], after - before, rtol=1e-3, atol=1e-6)


class _LoRALayer(torch.nn.Module):
    """A linear layer and a low-rank one beside it, as PEFT writes them."""

    def __init__(self, base: Any, rank: int, dice: torch.Generator) -> None:
        super().__init__()
        self.base, width = base, base.in_features
        self.a = torch.nn.Parameter((torch.rand(rank, width, generator=dice) * 2 - 1) / width**0.5)
        self.b = torch.nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down = torch.nn.functional.linear(x, self.a)
        return self.base(x) + torch.nn.functional.linear(down, self.b)  # type: ignore[no-any-return]


def test_low_rank_training_is_lora(model: Model) -> None:
    name = "mid_block.attentions.0.transformer_blocks.0.attn2"

    def prepare(network: Any) -> list[Any]:
        network.requires_grad_(False)
        attention = network.get_submodule(name)
        attention.to_k = _LoRALayer(attention.to_k, 2, torch.Generator().manual_seed(7))
        return [attention.to_k.a, attention.to_k.b]

    _, (a, b) = transcribed(model, 3, prepare)
    deltas = deltas_of(relearned(model, rank=2, sites=(f"unet.{name}.to_k",)))
    torch.testing.assert_close(deltas[f"unet.{name}.to_k.weight"], (b @ a).detach(), rtol=1e-3, atol=1e-6)


def test_every_matrix_and_convolution_changes_by_the_rank_at_most_and_biases_do_not(model: Model) -> None:
    deltas = deltas_of(relearned(model, rank=2, sites="resnet", updates=2, batch=3))
    assert any(delta.ndim == 4 for delta in deltas.values()) and not any(delta.ndim == 1 for delta in deltas.values())
    assert all(torch.linalg.matrix_rank(delta.flatten(1)) <= 2 for delta in deltas.values())
    assert all(delta.any() for delta in deltas.values())


def test_it_goes_on_from_the_edited_weights_and_is_counted(model: Model) -> None:
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    edit = Edit({name: torch.ones_like(model.parameter(name))})
    outcome, plain = relearned(model, edit), relearned(model)
    assert deltas_of(outcome)[name].abs().max() < 0.1
    assert outcome.artefact != plain.artefact
    assert isinstance(outcome.artefact, Edit) and outcome.artefact.provenance.onto == (edit.id,)
    assert (outcome.spent.forward, outcome.spent.backward) == (6, 6)
    assert outcome.table["backward"].to_list() == [0, 6]
    assert "updates to 50%" in outcome.measurements and "updates to 50%" in outcome.summary()


def test_what_does_not_fit_is_refused_and_a_row_that_was_tried_is_not_spent(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = model.sites.only(kind="cross-attention", level="layer").parameters()
    weights = {name: model.parameter(name).detach() for name in names}
    row = bytes_a_trained_row(model, names)
    one, two = (Training(weights, rows, row, gradients=2, keeps_start=True).total for rows in (1, 2))
    start = sum(weight.nbytes for weight in weights.values())
    assert one == start + 12 * start // 4 + row and two - one == row
    plain, free = relearned(model, weights="full"), "turpentine.models.training_memory.free_memory"
    monkeypatch.setattr(free, lambda device: two)
    tried = relearned(model, weights="full")
    assert (tried.spent, tried.artefact) == (plain.spent, plain.artefact)
    monkeypatch.setattr(free, lambda device: one)
    with pytest.raises(NoMemory, match=r"give --batch 1, which takes .*; or --dtype fp16, which takes"):
        relearned(model, weights="full")


def test_benign_training_is_on_the_pictures_and_captions_of_a_folder(model: Model, tmp_path: Path) -> None:
    Image.new("RGB", (48, 32), "red").save(tmp_path / "one.png")
    Image.new("RGB", (32, 32), "blue").save(tmp_path / "two.png")
    (tmp_path / "one.txt").write_text("a red house\n")
    pictures, captions = captioned(tmp_path)
    assert captions == ["a red house", ""] and pictures[0].size == (48, 32)
    benign = relearned(model, benign=tmp_path, updates=2)
    (tmp_path / "one.txt").write_text("a car\n")
    assert benign.artefact != relearned(model, benign=tmp_path, updates=2).artefact
    assert benign.artefact != relearned(model, updates=2).artefact


def test_updates_until_it_is_back_are_read_from_the_curve() -> None:
    stages = [(Spent(backward=rows), Rate(hits, 10)) for rows, hits in ((0, 1), (8, 5), (16, 9))]
    assert updates_to(curve(stages), 0.5, batch=2) == 4
    assert updates_to(curve(stages), 0.05, batch=2) == 0
    assert updates_to(curve(stages), 0.95, batch=2) is None


def test_what_cannot_be_trained_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="no folder with pictures"):
        relearned(model, benign=tmp_path)
    with pytest.raises(BadArgument, match="There is no file or folder"):
        relearned(model, benign=tmp_path / "none")
    with pytest.raises(EmptySelection):
        relearned(model, sites="nowhere")
    with pytest.raises(BadArgument, match="Only the denoiser's weights"):
        relearned(model, sites="text-mlp")
    with pytest.raises(BadArgument, match="no matrix"):
        relearned(model, sites=("unet.conv_norm_out",))
