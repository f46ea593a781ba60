"""Artefacts: what a model draws from beside texts and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from turpentine.core.errors import BadArgument, EditError
from turpentine.models import Artefact, Conditioning, Model, sample
from turpentine.models.artefact import placed, vocabularies_of, word_ids
from turpentine.models.churn import Churn
from turpentine.models.identity import describe
from turpentine.testing.toys import TOYS, toy

HOW: dict[str, Any] = {"steps": 2, "guidance_scale": 3.0}


@pytest.fixture(scope="module", params=TOYS)
def model(request: pytest.FixtureRequest) -> Model:
    return warmed(request.param)


@pytest.fixture(scope="module")
def sd1() -> Model:
    return warmed("sd1")


def warmed(family: str) -> Model:
    """A toy whose encoders have run: transformers leaves hooks of its own on one in its first call."""
    model = toy(family)
    model.encode([""])
    return model


def same(one: Conditioning, other: Conditioning) -> bool:
    pairs = [(one.hidden, other.hidden), (one.pooled, other.pooled), (one.time_ids, other.time_ids)]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)  # type: ignore[arg-type]


def hooks(model: Model) -> int:
    return sum(len(each._forward_hooks) for part in model.components.values() for each in part.modules())


@torch.no_grad()
def test_encoders_that_read_vectors_equal_encoders_that_read_tokens_bit_for_bit(model: Model) -> None:
    prompts = ["a red church by a dog", "a cat", "a"]
    ids = model.family.tokenize(prompts)
    before = hooks(model)
    assert same(model.encode_tokens(ids, model.family.embed_tokens(ids)), model.encode(prompts))
    assert hooks(model) == before


@torch.no_grad()
def test_a_vector_changes_its_own_token_and_later_ones_alone(model: Model) -> None:
    """The causal mask stands."""
    ids = model.family.tokenize(["a red church by a dog"])
    vectors = {name: rows.clone() for name, rows in model.family.embed_tokens(ids).items()}
    for rows in vectors.values():
        rows[:, 3] += 1
    differs = (model.encode_tokens(ids, vectors).hidden != model.encode_tokens(ids).hidden).any(-1)[0]
    assert not differs[:3].any() and differs[3:].all()


def test_the_gradient_of_a_vector_agrees_with_finite_differences() -> None:
    model = toy("sdxl")
    for encoder in ("text", "text-2"):
        model.family.encoder(encoder).double()
    ids = model.family.tokenize(["a church"])
    rows = {name: each.double().requires_grad_() for name, each in model.family.embed_tokens(ids).items()}

    def score(vectors: dict[str, Any]) -> torch.Tensor:
        cond = model.encode_tokens(ids, vectors)
        return cond.hidden.pow(2).sum() + cond.pooled.pow(3).sum()

    gradients = torch.autograd.grad(score(rows), list(rows.values()))
    for (name, each), gradient in zip(rows.items(), gradients, strict=True):
        step = torch.zeros_like(each)
        step[0, 2, 5] = 1e-5
        with torch.no_grad():
            difference = score({**rows, name: each + step}) - score({**rows, name: each - step})
        assert gradient[0, 2, 5].item() == pytest.approx(difference.item() / 2e-5, rel=1e-4)


def test_a_word_of_a_tokens_own_vectors_draws_what_the_token_does(model: Model) -> None:
    ids = model.family.tokenize(["church"])
    vectors = {name: rows[0, 1:2] for name, rows in model.family.embed_tokens(ids).items()}
    word = Artefact(("a red <concept>",), vectors=vectors)
    plain = model.generate(["a red church", "a dog"], seeds=[0, 1], **HOW)
    with word.on(model):
        drawn = model.generate(["a red <concept>", "a dog"], seeds=[0, 1], **HOW)
        assert describe(model)["changes"] == [word.id]
    assert [image.tobytes() for image in drawn] == [image.tobytes() for image in plain]
    assert model.artefact is None and describe(model)["changes"] == []


def test_two_vectors_of_a_word_stand_one_after_the_other(model: Model) -> None:
    ids = model.family.tokenize(["red church"])
    vectors = {name: rows[0, 1:3] for name, rows in model.family.embed_tokens(ids).items()}
    with Artefact(("a <concept> by a <concept>",), vectors=vectors).on(model):
        twice = model.encode(["a <concept> by a <concept>"])
    assert same(twice, model.encode(["a red church by a red church"]))


def test_gradients_reach_a_words_vectors_and_nothing_else(model: Model) -> None:
    ids, places = word_ids(model, "a <concept>", "<concept>", 1)
    vectors = {name: torch.zeros(1, model.token_width(name), requires_grad=True) for name in places}
    model.encode_tokens(ids, placed(model, ids, places, vectors)).hidden.sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in vectors.values())
    assert all(weight.grad is None for part in model.components.values() for weight in part.parameters())


def test_a_prompt_is_drawn_by_its_ids_whatever_its_text_says(model: Model) -> None:
    ids = model.family.tokenize(["a dog"])
    prompt = Artefact(("a church",), ids=ids, vocabularies=vocabularies_of(model))
    assert not prompt.round_trips(model)
    assert Artefact(("a dog",), ids=ids).round_trips(model)
    with prompt.on(model):
        assert same(model.encode(["a church"]), model.encode(["a dog"]))


def test_latents_are_drawn_by_seed(sd1: Model) -> None:
    start = sd1.noise([5, 7])
    with Artefact(("a church",), latents=start).on(sd1):
        drawn = sd1.generate("a church", seeds=[1, 0], **HOW)
        with pytest.raises(BadArgument, match="none for seed 2"):
            sd1.generate("a church", seeds=[2], **HOW)
    plain = sd1.generate("a church", seeds=[7, 5], **HOW)
    assert [image.tobytes() for image in drawn] == [image.tobytes() for image in plain]


def test_latents_of_a_later_step_are_finished_from_there(sd1: Model) -> None:
    cond, uncond, noise = sd1.encode(["a church"]), sd1.encode([""]), sd1.noise([3])
    run = [step.x for step in sample(sd1, cond, uncond, noise, **{**HOW, "steps": 4})]
    late = Artefact(("a church",), latents=run[2], first=2, steps=4)
    with late.on(sd1):
        drawn = sd1.generate("a church", seeds=0, **{**HOW, "steps": 4})
        with pytest.raises(BadArgument, match="draw with 4 steps"):
            sd1.generate("a church", seeds=0, **HOW)
    assert drawn[0].tobytes() == sd1.generate("a church", seeds=3, **{**HOW, "steps": 4})[0].tobytes()


def test_noise_of_eta_1_is_ddims_own_with_eta_1(sd1: Model) -> None:
    """Against diffusers' step with its own η, and nothing at η = 0."""
    scheduler = sd1.schedule.solver("ddim")
    scheduler.set_timesteps(5)
    state, eps = sd1.noise([0, 1]), sd1.noise([2, 3])
    for t in scheduler.timesteps[:4]:
        noise = [torch.Generator().manual_seed(seed) for seed in (8, 9)]
        fresh = torch.stack([torch.randn(eps.shape[1:], generator=each) for each in noise])
        expected = scheduler.step(eps, t, state, eta=1.0, variance_noise=fresh, return_dict=False)[0]
        again = [torch.Generator().manual_seed(seed) for seed in (8, 9)]
        torch.testing.assert_close(Churn(1.0).step(scheduler, eps, t, state, again), expected)
    with Artefact(("a church",), churn=Churn(1.5, 1.02)).on(sd1):
        loud = sd1.generate("a church", seeds=0, **HOW)[0].tobytes()
        with pytest.raises(BadArgument, match="only ddim does"):
            sd1.generate("a church", seeds=0, solver="euler", **HOW)
    assert loud != sd1.generate("a church", seeds=0, **HOW)[0].tobytes()


def test_a_file_gives_it_back_and_is_checked(model: Model, tmp_path: Path) -> None:
    vectors = {name: torch.ones(2, model.token_width(name)) for name in model.family.text_encoder_names}
    ids = model.family.tokenize(["a <concept>"])
    whole = Artefact(
        ("a <concept>",), ids, vectors=vectors, latents=model.noise([0]), first=1, steps=4, churn=Churn(0.5)
    )
    whole.save(tmp_path / "a.safetensors")
    back = Artefact.load(tmp_path / "a.safetensors")
    assert back == whole and back.title == whole.title
    content = bytearray((tmp_path / "a.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(EditError, match="does not match its checksum"):
        Artefact.load(tmp_path / "b.safetensors")


def test_what_does_not_fit_is_refused_in_a_sentence(sd1: Model) -> None:
    xl = toy("sdxl")
    word = Artefact(("<concept>",), vectors={"text": torch.zeros(1, 16)})
    with pytest.raises(EditError, match="for 1 text encoder\\(s\\) and the model has 2"):
        word.apply(xl)
    with pytest.raises(EditError, match="have 7 numbers and the model's have 16"):
        Artefact(("<concept>",), vectors={"text": torch.zeros(1, 7)}).apply(sd1)
    with pytest.raises(EditError, match="shape"):
        Artefact(("",), latents=torch.zeros(1, 4, 2, 2)).apply(sd1)
    with pytest.raises(EditError, match="another vocabulary"):
        Artefact(("a",), sd1.family.tokenize(["a"]), vocabularies={"text": "x"}).apply(sd1)
    with pytest.raises(EditError, match="3 tokens"):
        Artefact(("a",), {"text": torch.zeros(1, 3, dtype=torch.long)}).apply(sd1)
    with word.on(sd1), pytest.raises(EditError, match="draws from an artefact already"):
        word.apply(sd1)
    assert sd1.artefact is None
    for wrong in ({"prompts": ()}, {"prompts": ("a",), "vectors": {"text": torch.zeros(1, 2)}}):
        with pytest.raises(BadArgument):
            Artefact(**wrong)
