"""CCE against a plain transcription of textual inversion, and with a guidance inside the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from turpentine.attack.attacked import Attacked
from turpentine.attack.cce import CCE
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.edits import Edit
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import Artefact, Model
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

QUICK = Trial(steps=2, pictures=2, curve_pictures=1)
TEXT_FIRST = "text"


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def attacked(model: Model, *changes: Any, **settings: Any) -> Attacked:
    references = model.generate("a church", seeds=[0, 1], steps=2)
    attack = CCE(**{"updates": 5, "batch": 2, "stages": 1, "init": "dog", **settings})
    return attack(Victim(model, changes), "church", references=references, judge=CoinJudge(), trial=QUICK, seed=7)


def transcribed(model: Model, updates: int) -> torch.Tensor:
    """Textual inversion as Gal et al. write it: a row of the encoder's own table learns, and all others stay."""
    pipeline = toy("sd1").pipeline
    x0 = model.encode_image(model.generate("a church", seeds=[0, 1], steps=2))
    embedding = pipeline.text_encoder.get_input_embeddings()
    ids = pipeline.tokenizer(["a car"], padding="max_length", max_length=16, return_tensors="pt").input_ids
    car, dog = (pipeline.tokenizer(word, add_special_tokens=False).input_ids[0] for word in ("car", "dog"))
    embedding.weight.data[car] = embedding.weight.data[dog]
    embedding.weight.requires_grad_()
    adam = torch.optim.AdamW([embedding.weight], lr=0.08, weight_decay=0.01)
    others = embedding.weight.detach().clone()
    bars = pipeline.scheduler.alphas_cumprod
    for update in range(updates):
        dice = torch.Generator().manual_seed(7 * 1_000_003 + update)
        rows = torch.randint(2, (2,), generator=dice)
        noise = torch.randn((2, 4, 8, 8), generator=dice)
        t = torch.randint(1000, (2,), generator=dice)
        bar = bars[t][:, None, None, None]
        x = bar.sqrt() * x0[rows] + (1 - bar).sqrt() * noise
        states = pipeline.text_encoder(ids)[0].repeat(2, 1, 1)
        loss = torch.nn.functional.mse_loss(pipeline.unet(x, t, states).sample, noise)
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            keep = torch.arange(len(others)) != car
            embedding.weight[keep] = others[keep]
    return embedding.weight[car].detach()


def test_it_is_textual_inversion(model: Model) -> None:
    artefact = attacked(model).artefact
    assert isinstance(artefact, Artefact) and artefact.prompts == ("a <concept>",)
    torch.testing.assert_close(artefact.vectors[TEXT_FIRST][0], transcribed(model, 5), rtol=1e-4, atol=1e-5)


def test_the_rate_is_the_effective_one_and_is_said(model: Model) -> None:
    """The authors' own is 16 times what they print: the first step of Adam moves each number by the rate, no less."""
    start = model.family.embed_tokens(model.family.tokenize(["dog"]))[TEXT_FIRST][0, 1]
    outcome = attacked(model, updates=1, weight_decay=0.0, lr=0.08)
    assert outcome.measurements["effective lr"] == 0.08
    assert isinstance(outcome.artefact, Artefact)
    moved = (outcome.artefact.vectors[TEXT_FIRST][0] - start).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.08), rtol=1e-2, atol=0)


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_it_learns_in_every_family_for_each_encoder(family: str) -> None:
    model = toy(family)
    artefact = attacked(model, updates=2).artefact
    assert isinstance(artefact, Artefact)
    starts = model.family.embed_tokens(model.family.tokenize(["dog"]))
    assert artefact.vectors.keys() == starts.keys()
    assert all((artefact.vectors[name][0] != rows[0, 1]).any() for name, rows in starts.items())


@pytest.mark.parametrize("method", [SLD(), NegativePrompt()])
def test_a_guidance_stands_inside_the_loss(model: Model, method: Any) -> None:
    plain = attacked(model, updates=2)
    guided = attacked(model, method(model, Concept("church")), updates=2, loss_guidance_scale=3.0)
    assert guided.spent.backward in (8, 12) and plain.spent.backward == 4
    assert guided.artefact != plain.artefact
    assert model.guidance is None


def test_an_edit_decides_what_is_learned(model: Model) -> None:
    name = "unet.conv_in.bias"
    edit = Edit({name: torch.ones_like(model.parameter(name))})
    assert attacked(model, edit).artefact != attacked(model).artefact


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadArgument, match="must hold"):
        CCE(prompt="a church")
    with pytest.raises(BadArgument, match="lr"):
        CCE(lr=0)


def test_what_a_guidance_needs_is_counted_once_in_a_run_that_goes_on(model: Model, tmp_path: Path) -> None:
    def run(cache: Path | None, progress: Any) -> Attacked:
        change = NegativePrompt()(model, Concept("church"))
        given = {"references": model.generate("a church", seeds=[0], steps=2), "judge": CoinJudge(), "trial": QUICK}
        attack = CCE(updates=2, batch=1, stages=2, init="dog")
        return attack(Victim(model, (change,)), "church", **given, cache=cache, progress=progress)

    calls: list[int] = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop)
    assert run(tmp_path, lambda done, total: None).spent == run(None, lambda done, total: None).spent
