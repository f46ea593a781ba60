"""UnlearnDiffAtk against a plain transcription, and against what the authors' code gets wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attack.searches import ALWAYS, QUICK, SEED, references, search_of, stages_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from turpentine.attack._prefix import on_simplex
from turpentine.attack.unlearndiffatk import UnlearnDiffAtk
from turpentine.concepts import Concept
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import Artefact, Model
from turpentine.models.images import to_pixels
from turpentine.models.sampler import rows_in_a_step
from turpentine.testing.toys import toy

SMALL = UnlearnDiffAtk(tokens=2, timesteps=2, iterations=3, stages=1, lr=0.2)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def nearest_distribution(row: torch.Tensor) -> torch.Tensor:
    """The projection on the simplex as Duchi et al. 2008 write it, by sorting."""
    ordered = sorted(row.tolist(), reverse=True)
    sums = [sum(ordered[: count + 1]) for count in range(len(ordered))]
    count = max(n for n in range(1, len(ordered) + 1) if ordered[n - 1] - (sums[n - 1] - 1) / n > 0)
    return (row - (sums[count - 1] - 1) / count).clamp(min=0)


def transcribed(model: Model, attack: UnlearnDiffAtk) -> tuple[torch.Tensor, float]:
    """The simplex and the last loss, on the pipeline's own networks, with Adam written out."""
    pipeline = toy("sd1").pipeline
    pipeline.unet.requires_grad_(False)
    pixels = to_pixels(references(model)[:1])
    x0 = pipeline.vae.encode(pixels).latent_dist.mean.detach() * pipeline.vae.config.scaling_factor
    table = pipeline.text_encoder.get_input_embeddings().weight.detach()
    start, end = pipeline.tokenizer.bos_token_id, pipeline.tokenizer.eos_token_id
    prompt = pipeline.tokenizer("a church", add_special_tokens=False).input_ids
    words = [token for token in range(len(table)) if token not in (start, end)]
    simplex = torch.full((attack.tokens, len(words)), 1 / len(words))
    mean, square, number, loss = torch.zeros_like(simplex), torch.zeros_like(simplex), 0, 0.0
    bars = pipeline.scheduler.alphas_cumprod
    for t in [250, 750]:
        for _ in range(attack.iterations):
            dice = torch.Generator().manual_seed(SEED * 1_000_003 + number)
            rows = torch.multinomial(simplex, 1, generator=dice)[:, 0].tolist()
            noise = torch.randn((1, 4, 8, 8), generator=dice)
            ids = [start, *(words[row] for row in rows), *prompt, end]
            ids += [end] * (16 - len(ids))
            seen: list[torch.Tensor] = []
            hook = pipeline.text_encoder.get_input_embeddings().register_forward_hook(
                lambda module, args, output, seen=seen: seen.append(output.requires_grad_()) or output
            )
            states = pipeline.text_encoder(torch.tensor([ids]))[0]
            hook.remove()
            x = bars[t].sqrt() * x0 + (1 - bars[t]).sqrt() * noise
            error = (pipeline.unet(x, t, states).sample - noise).pow(2).mean()
            slope = torch.autograd.grad(error, seen[0])[0][0, 1 : 1 + attack.tokens]
            gradient = torch.stack(
                [torch.stack([slope[at] @ table[word] for word in words]) for at in range(len(rows))]
            )
            gradient = torch.nn.functional.hardtanh(gradient)
            number += 1
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            step = mean / (1 - 0.9**number) / ((square / (1 - 0.999**number)).sqrt() + 1e-8)
            simplex = torch.stack([nearest_distribution(row) for row in simplex - attack.lr * step])
            loss = error.item()
    return simplex, loss


def test_it_is_the_published_search(model: Model) -> None:
    (stage,) = stages_of(SMALL, search_of(model))
    simplex, loss = transcribed(model, SMALL)
    torch.testing.assert_close(stage.state["simplex.value"], simplex, rtol=1e-3, atol=1e-4)
    assert stage.measurements["loss"] == pytest.approx(loss, rel=1e-4)
    likeliest = simplex.argmax(-1).tolist()
    words = [token for token in range(len(model.family.token_tables()["text"])) if token not in _special(model)]
    assert isinstance(stage.artefact, Artefact)
    assert stage.artefact.ids["text"][0, 1:3].tolist() == [words[column] for column in likeliest]


def _special(model: Model) -> list[int]:
    return list(model.pipeline.tokenizer.all_special_ids)


@settings(max_examples=30, deadline=None)
@given(arrays("float32", (3, 6), elements=st.floats(-3, 3, width=32)))
def test_rows_go_to_the_nearest_distribution(rows: Any) -> None:
    """Those that sum to less than 1, too: the authors' leave them so, and draw from them."""
    result = on_simplex(torch.from_numpy(rows))
    expected = torch.stack([nearest_distribution(row) for row in torch.from_numpy(rows)])
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(result.sum(-1), torch.ones(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(on_simplex(expected), expected, rtol=0, atol=1e-6)


def test_the_first_picture_with_the_concept_ends_it(model: Model) -> None:
    search = search_of(model, shows=ALWAYS)
    (stage,) = stages_of(SMALL, search)
    assert stage.measurements["timesteps"] == 1 and search.meter.outcomes == [True]
    assert list(SMALL.search(search, dict(stage.state))) == []


def test_it_spends_what_it_says(model: Model) -> None:
    search = search_of(model)
    stages_of(SMALL, search)
    cost = SMALL.cost(QUICK)
    assert (search.meter.spent.forward, search.meter.spent.backward) == (cost.forward, cost.backward) == (14, 6)
    assert search.meter.spent.judged == cost.judged == 2


@pytest.mark.parametrize("method", [SLD(warmup=0.0), NegativePrompt()])
def test_a_guidance_stands_inside_the_loss(model: Model, method: Any) -> None:
    change = method(model, Concept("church"))
    search = search_of(model, change)
    (guided,), (plain,) = stages_of(SMALL, search), stages_of(SMALL, search_of(model))
    assert guided.measurements["loss"] != plain.measurements["loss"]
    with change.on(model):
        rows = rows_in_a_step(model, QUICK.guidance_scale, QUICK.steps)
    assert search.meter.spent.backward == 6 * rows
    assert model.guidance is None


def test_it_learns_for_both_encoders_of_sdxl() -> None:
    model = toy("sdxl")
    (stage,) = stages_of(SMALL, search_of(model))
    assert isinstance(stage.artefact, Artefact)
    first, second = stage.artefact.ids.values()
    assert first[0, 1:3].tolist() == second[0, 1:3].tolist()
