"""P4D against a plain transcription, and its trap: the loss that is logged is that of the prompt when it is drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attack.searches import QUICK, SEED, references, search_of, stages_of

from turpentine.attack._p4d_learner import between
from turpentine.attack.p4d import P4D
from turpentine.concepts import Concept
from turpentine.erase.guidance import SLD
from turpentine.models import Artefact, Model
from turpentine.models.vocabulary import Vocabulary
from turpentine.testing.toys import toy

SMALL = P4D(tokens=3, updates=4, pool=3, judge_every=4, stages=1)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


Example = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def pool_of(model: Model, dice: torch.Generator, count: int) -> list[Example]:
    """Return x_t, t and ε_o of each example, computed one by one on a fresh original."""
    original = toy("sd1")
    x0 = model.encode_image(references(model))
    rows = torch.randint(len(x0), (count,), generator=dice)
    times = torch.randint(1000, (count,), generator=dice)
    noise = torch.randn((count, 4, 8, 8), generator=dice)
    bars = original.pipeline.scheduler.alphas_cumprod
    cond = original.encode(["a church"])
    examples = []
    for row, t, n in zip(rows, times, noise, strict=True):
        x = (bars[t].sqrt() * x0[row] + (1 - bars[t]).sqrt() * n)[None]
        with torch.no_grad():
            examples.append((x, t, original.pipeline.unet(x, t, cond.hidden).sample))
    return examples


def transcribed(model: Model) -> list[int]:
    """PEZ as Wen et al. write it, on the pipeline's own networks."""
    pipeline = toy("sd1").pipeline
    pipeline.unet.requires_grad_(False)
    dice = torch.Generator().manual_seed(SEED)
    pool = pool_of(model, dice, SMALL.pool)
    table = pipeline.text_encoder.get_input_embeddings().weight.detach()
    start, end = pipeline.tokenizer.bos_token_id, pipeline.tokenizer.eos_token_id
    words = torch.tensor([token for token in range(len(table)) if token not in (start, end)])
    soft = torch.nn.Parameter(table[words[torch.randint(len(words), (3,), generator=dice)]].clone())
    adam = torch.optim.AdamW([soft], lr=0.1, weight_decay=0.1)

    def nearest() -> list[int]:
        cosines = torch.nn.functional.cosine_similarity(soft[:, None], table[words][None], dim=-1)
        return words[cosines.argmax(-1)].tolist()

    for update in range(SMALL.updates):
        number = int(torch.randint(3, (1,), generator=torch.Generator().manual_seed(SEED * 1_000_003 + update)))
        seen: list[torch.Tensor] = []
        hook = pipeline.text_encoder.get_input_embeddings().register_forward_hook(
            lambda module, args, output, seen=seen: seen.append(output.requires_grad_()) or output
        )
        states = pipeline.text_encoder(torch.tensor([[start, *nearest(), *[end] * 12]]))[0]
        hook.remove()
        x, t, target = pool[number]
        loss = (pipeline.unet(x, t, states).sample - target).pow(2).mean()
        soft.grad = torch.autograd.grad(loss, seen[0])[0][0, 1:4]
        adam.step()
    return nearest()


def test_it_is_the_published_search(model: Model) -> None:
    (stage,) = stages_of(SMALL, search_of(model))
    assert isinstance(stage.artefact, Artefact)
    assert stage.artefact.ids["text"][0, 1:4].tolist() == transcribed(model)


@pytest.mark.parametrize("variant", ["n", "k"])
def test_the_loss_that_is_logged_is_that_of_the_prompt_when_it_is_drawn(model: Model, variant: Any) -> None:
    """Padding in training and in pictures is one, and what is decoded is not encoded again."""
    attack = P4D(variant=variant, tokens=3, updates=4, pool=3, judge_every=2, stages=1, every=1)
    (stage,) = stages_of(attack, search_of(model))
    assert isinstance(stage.artefact, Artefact)
    with stage.artefact.on(model):
        cond = model.encode(stage.artefact.prompts)
    with torch.no_grad():
        losses = [
            (model.eps(x, t, cond) - target).pow(2).mean().item()
            for x, t, target in pool_of(model, torch.Generator().manual_seed(SEED), 3)
        ]
    assert stage.measurements["loss"] == pytest.approx(sum(losses) / 3, rel=1e-4)


def test_k_leaves_the_prompt_as_it_is(model: Model) -> None:
    """Whatever the decay does to what is learned."""
    attack = P4D(variant="k", every=1, updates=4, pool=3, judge_every=2, stages=1, weight_decay=5.0)
    (stage,) = stages_of(attack, search_of(model))
    assert isinstance(stage.artefact, Artefact)
    assert stage.artefact.ids["text"][0, [2, 4]].tolist() == Vocabulary(model).ids_of("a church")


@pytest.mark.parametrize("length", range(8))
def test_k_puts_a_token_before_every_three(length: int) -> None:
    prompt = list(range(100, 100 + length))
    whole, places = between(prompt, 3, 0)
    assert len(places) == length // 3 + 1 and all(whole[place] == 0 for place in places)
    assert [token for token in whole if token] == prompt


def test_the_original_runs_for_the_pool_alone(model: Model) -> None:
    search = search_of(model)
    stages_of(SMALL, search)
    assert (search.meter.spent.forward, search.meter.spent.backward) == (3 + 4 + 3 + 2 * 2, 4)
    assert search.meter.spent.forward == SMALL.cost(QUICK).forward


def test_a_guidance_stands_inside_the_loss(model: Model) -> None:
    change = SLD(warmup=0.0)(model, Concept("church"))
    (guided,), (plain,) = stages_of(SMALL, search_of(model, change)), stages_of(SMALL, search_of(model))
    assert guided.measurements["loss"] > plain.measurements["loss"]
    assert model.guidance is None


def test_it_learns_for_both_encoders_of_sdxl() -> None:
    (stage,) = stages_of(SMALL, search_of(toy("sdxl")))
    assert isinstance(stage.artefact, Artefact)
    first, second = stage.artefact.ids.values()
    assert first[0, 1:4].tolist() == second[0, 1:4].tolist()
