"""RECE: its rounds against an independent transcription, the embedding that it finds, and what each round reports."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from edits.weights import weights_hash
from erase.counting import Operations
from tiny import tiny_sd1
from torch import Tensor

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept, NotFinite
from turpentine.edits import Edit
from turpentine.erase.adversary import Adversary, weights_gram
from turpentine.erase.rece import RECE
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


CHURCH = Concept("church")
KINDS = ["zero", "target", "surrogate", "surrogate-layers", "surrogate-state"]
PAIR = (CHURCH, Concept("dog", keep=("fish",)))

# The equations


def states(pipeline: Any, text: str) -> Tensor:
    """All tokens' states as the pipeline's encoder gives them, in fp64."""
    with torch.no_grad():
        hidden = pipeline.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    return hidden[0][0].double()


def layers(pipeline: Any) -> dict[str, Tensor]:
    named = pipeline.unet.named_modules()
    return {
        f"unet.{name}.weight": module.weight.detach().double()
        for name, module in named
        if name.endswith(("attn2.to_k", "attn2.to_v"))
    }


def solved(w: Tensor, anchor: Tensor, keys: Tensor, guides: Tensor, kept: Tensor, lamb: float, b: float) -> Tensor:
    """(λ·anchor + Σ W g kᵀ + b Σ W p pᵀ)(λI + Σ k kᵀ + b Σ p pᵀ)⁻¹; a is 1."""
    left = lamb * anchor + w @ guides.T @ keys + b * (w @ kept.T @ kept)
    right = lamb * torch.eye(w.shape[1], dtype=torch.float64) + keys.T @ keys + b * (kept.T @ kept)
    return left @ torch.linalg.inv(right)


def plain_adversary(now: list[Tensor], old: list[Tensor], c: Tensor, guide: Tensor, kind: str, r: float) -> Tensor:
    """The minimiser for one state, from its normal equations, summed over the layers one by one."""
    width = len(c)
    left, right = r * torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    left = 0 * left if kind == "surrogate-layers" else left
    for edited, original in zip(now, old, strict=True):
        left = left + edited.T @ edited
        right = right + edited.T @ (original @ c)
        if kind in ("surrogate", "surrogate-layers"):
            left = left + r * edited.T @ edited
            right = right + r * edited.T @ (edited @ c)
    towards = {"zero": 0 * c, "target": guide, "surrogate": c, "surrogate-layers": 0 * c, "surrogate-state": c}
    right = right + r * towards[kind]
    return torch.linalg.inv(left) @ right


def plain_rece(pipeline: Any, words: list[str], kept_texts: list[str], anchor: str, kind: str, rounds: int) -> Any:
    old = layers(pipeline)
    guide = states(pipeline, " ")
    c = torch.cat([states(pipeline, word) for word in words])
    g = torch.cat([guide] * len(words))
    keys = torch.cat([states(pipeline, word)[1:] for word in words])  # each word is one token, after the start
    guides = torch.cat([guide[: len(guide) - 1]] * len(words))  # from the start, the last before its end
    kept = torch.cat([states(pipeline, text) for text in kept_texts])
    now = {n: solved(w, w, keys, guides, kept, 0.5, max(0.1, 1 / len(kept_texts))) for n, w in old.items()}
    for _ in range(rounds):
        found = torch.stack(
            [
                plain_adversary(list(now.values()), list(old.values()), one, target, kind, 0.1)
                for one, target in zip(c, g, strict=True)
            ]
        )
        if anchor == "edited":
            now = {n: solved(w, w, found, g, kept, 0.1, 0.1) for n, w in now.items()}
        else:
            keys, guides = torch.cat([keys, found]), torch.cat([guides, g])
            now = {n: solved(w, w, keys, guides, kept, 0.1, 0.1) for n, w in old.items()}
    return {n: now[n] - old[n] for n in old}


def assert_close(edit: Edit, plain: dict[str, Tensor]) -> None:
    assert set(edit.deltas) == set(plain)
    for name, delta in plain.items():
        assert delta.norm() > 1e-3
        assert (edit.deltas[name] - delta).norm() < 1e-5 * delta.norm()


@pytest.mark.parametrize("anchor", ["original", "edited"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_rounds_are_the_equations(sd1: Model, kind: Any, anchor: Any) -> None:
    edit = RECE(rounds=2, regulariser=kind, anchor=anchor)(sd1, PAIR)
    assert_close(edit, plain_rece(sd1.pipeline, ["church", "dog"], ["", "fish"], anchor, kind, 2))


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_every_family_is_the_same_to_it(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    # diffusers makes SDXL's "" all zeros, which keep nothing; a space is the same tokens.
    assert_close(RECE(rounds=1)(model, CHURCH), plain_rece(model.pipeline, ["church"], [" "], "original", "zero", 1))


# The embedding


@pytest.mark.parametrize("kind", KINDS)
def test_the_embedding_found_is_the_best_there_is(kind: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    old = [torch.randn(7, 5, generator=draw, dtype=torch.float64) for _ in range(3)]
    a, c, g = (torch.randn(n, 5, generator=draw, dtype=torch.float64) for n in (5, 4, 4))
    adversary = Adversary(weights_gram({str(at): w for at, w in enumerate(old)}), kind, 0.2)
    found = adversary.embedding(a, c, g)

    def loss(x: Tensor) -> Tensor:
        missed = sum(((x @ a.T - c) @ w.T).square().sum() for w in old)
        moved = sum(((x - c) @ a.T @ w.T).square().sum() for w in old)
        apart = {"zero": x, "target": x - g, "surrogate-layers": 0 * x}.get(kind, x - c)
        return missed + 0.2 * (apart.square().sum() + (moved if kind in ("surrogate", "surrogate-layers") else 0))

    x = found.clone().requires_grad_()
    loss(x).backward()
    assert x.grad is not None and x.grad.norm() < 1e-9 * float(loss(found))
    assert loss(found) < loss(c)
    told = 1 - sum(((found @ a.T - c) @ w.T).square().sum() for w in old) / sum((c @ w.T).square().sum() for w in old)
    assert adversary.recovered(a, c, found) == pytest.approx(float(told))


def test_against_a_layer_that_was_not_edited_the_concept_itself_is_found() -> None:
    draw = torch.Generator().manual_seed(0)
    weight, c = (torch.randn(n, 5, generator=draw, dtype=torch.float64) for n in (7, 4))
    adversary = Adversary(weights_gram({"only": weight}), "zero", 1e-12)
    one = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(adversary.embedding(one, c, c), c)
    assert adversary.recovered(one, c, c) == pytest.approx(1.0)


# What a run reports and costs


def test_each_round_is_reported_and_leaves_less_to_recover(sd1: Model) -> None:
    edit = RECE(rounds=4)(sd1, PAIR)
    recovered = edit.provenance.measurements["recovered"]
    assert len(recovered) == 5
    assert 1 > recovered[0] > recovered[-1]
    assert edit.provenance.settings["anchor"] == "original"
    fewer = RECE(rounds=2)(sd1, PAIR).provenance.measurements["recovered"]
    assert fewer == pytest.approx(recovered[:3])


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_anchored_at_the_original_edits_do_not_add_up(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    size = {
        anchor: sum(float(delta.norm()) for delta in RECE(rounds=20, anchor=anchor)(model, CHURCH).deltas.values())
        for anchor in ("original", "edited")
    }
    assert 2 * size["original"] < size["edited"]


def test_the_layers_are_read_once_however_many_rounds(sd1: Model) -> None:
    counts, progress = [], []
    for rounds in (1, 3):
        progress.clear()
        with Operations() as operations:
            RECE(rounds=rounds)(sd1, CHURCH, progress=lambda *at: progress.append(at))
        counts.append(sum(operations.solving.values()))
        total = 2 * 2 + 1 + rounds + 32  # the texts twice, what is kept, the rounds, the weights
        assert progress[-1] == (total, total)
        assert progress == sorted(progress)
    # A round is an embedding and an edit, a factorisation and a solve each; then the first edit and the last embedding.
    assert counts == [2 * (2 + 2 * 1), 2 * (2 + 2 * 3)]


def test_the_model_is_left_as_it_was_and_the_edit_survives_a_file(sd1: Model, tmp_path: Any) -> None:
    before = weights_hash(sd1)
    edit = RECE(rounds=1, sites="MID")(sd1, CHURCH)
    assert weights_hash(sd1) == before
    assert len(edit.deltas) == 2
    edit.save(tmp_path / "edit.safetensors")
    loaded = Edit.load(tmp_path / "edit.safetensors")
    assert (loaded, loaded.provenance) == (edit, edit.provenance)


def test_defaults_and_presets(sd1: Model) -> None:
    published = {"rounds": 5, "ridge": 0.1, "regulariser": "zero", "guide": " ", "lamb": 0.1, "preserve_scale": 0.1}
    assert {name: getattr(RECE(), name) for name in published} == published
    assert RECE.preset("CompVis/stable-diffusion-v1-4") == RECE()
    assert RECE.preset(sd1) == RECE(templates=(), rounds=1, preserve_scale=1.0)
    assert methods.RECE is RECE


def test_nan_in_the_base_is_named() -> None:
    model = Model(tiny_sd1(whole=True))
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight"
    model.parameter(name).data[0, 0] = torch.nan
    with pytest.raises(NotFinite, match=name):
        RECE(rounds=1)(model, CHURCH)


def test_what_cannot_be_is_refused(sd1: Model) -> None:
    with pytest.raises(BadArgument, match="rounds is 0"):
        RECE(rounds=0)(sd1, CHURCH)
    with pytest.raises(BadArgument, match="ridge is -1"):
        RECE(ridge=-1.0)(sd1, CHURCH)
    with pytest.raises(BadArgument, match="erased and to be kept"):
        RECE(preserve=("church",))(sd1, CHURCH)
    with pytest.raises(EmptyConcept, match="no concept"):
        RECE()(sd1, ())
