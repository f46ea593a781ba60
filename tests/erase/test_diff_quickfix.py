"""DiffQuickFix: one layer of each text encoder, its bias, its tokens, and what a prompt then says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from edits.weights import weights_hash
from erase.counting import Operations, encoded_texts
from tiny import tiny_sd1
from torch import Tensor

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept, EmptySelection
from turpentine.erase.diff_quickfix import DiffQuickFix
from turpentine.models import Model, count_rows, load

CHURCH = Concept("church")


def inner(encoder: Any) -> Any:
    """Where a text encoder's layers are."""
    return getattr(encoder, "text_model", encoder)


def layer_inputs(encoder: Any, tokenizer: Any, text: str) -> tuple[Tensor, int]:
    """What the first out_proj reads, caught with a plain hook, and where the text's last token is."""
    tokens = tokenizer(text, padding="max_length", max_length=16, return_tensors="pt")
    caught: list[Tensor] = []
    layer = inner(encoder).encoder.layers[0].self_attn.out_proj
    hook = layer.register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    with torch.no_grad():
        encoder(tokens.input_ids)
    hook.remove()
    return caught[0][0].double(), int(tokens.attention_mask.sum()) - 2


def plain_quickfix(encoder: Any, tokenizer: Any, pairs: list[tuple[str, str]], tail: bool, lamb: float) -> Tensor:
    """(λW + Σ (v − bias) kᵀ)(λI + Σ k kᵀ)⁻¹ − W, with v the layer's whole answer to the anchor, bias and all."""
    layer = inner(encoder).encoder.layers[0].self_attn.out_proj
    w, bias = layer.weight.detach().double(), layer.bias.detach().double()
    left, right = lamb * w, lamb * torch.eye(w.shape[1], dtype=torch.float64)
    for text, anchor in pairs:
        (keys, last), (guides, anchor_last) = (layer_inputs(encoder, tokenizer, one) for one in (text, anchor))
        stop = None if tail else 1
        for k, g in zip(keys[last:][:stop], guides[anchor_last:][:stop], strict=False):
            left = left + torch.outer(w @ g + bias - bias, k)
            right = right + torch.outer(k, k)
    return left @ torch.linalg.inv(right) - w


@pytest.fixture(scope="module", autouse=True)
def _biases(sd1: Model, sd2: Model, sdxl: Model) -> Any:
    """Fresh models have no bias, and trained ones do."""
    biases = [
        layer.self_attn.out_proj.bias
        for model in (sd1, sd2, sdxl)
        for name, encoder in model.components.items()
        if name.startswith("text_encoder")
        for layer in inner(encoder).encoder.layers
    ]
    draw = torch.Generator().manual_seed(0)
    for bias in biases:
        bias.data.copy_(torch.randn(bias.shape, generator=draw))
    yield
    for bias in biases:
        bias.data.zero_()


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_it_is_the_equation_in_every_text_encoder(family: str, tail: bool, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    method = DiffQuickFix(anchor="red house", templates=("{}", "a {}"), positions="tail" if tail else "last")
    edit = method(model, [CHURCH, Concept("dog")])
    pairs = [("church", "red house"), ("a church", "a red house"), ("dog", "red house"), ("a dog", "a red house")]
    encoders = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")][: 2 if family == "sdxl" else 1]
    assert len(edit.deltas) == len(encoders)
    for (name, delta), (encoder, tokenizer) in zip(edit.deltas.items(), encoders, strict=True):
        assert name.startswith(f"{encoder}.") and name.endswith("layers.0.self_attn.out_proj.weight")
        parts = (getattr(model.pipeline, part) for part in (encoder, tokenizer))
        plain = plain_quickfix(*parts, pairs, tail, 0.01)
        assert (delta - plain).norm() < 1e-5 * plain.norm()


def test_the_authors_repeat_the_last_target_where_the_anchors_tail_is_shorter(sd1: Model) -> None:
    """Their notebook has `values[-1]` for each key beyond the values; "red house" is a token longer than "church"."""
    encoder, tokenizer = sd1.pipeline.text_encoder, sd1.pipeline.tokenizer
    layer = inner(encoder).encoder.layers[0].self_attn.out_proj
    w = layer.weight.detach().double()
    (keys, last), (guides, anchor_last) = (layer_inputs(encoder, tokenizer, one) for one in ("church", "red house"))
    keys, guides = keys[last:], guides[anchor_last:]
    assert len(keys) == len(guides) + 1
    left, right = 0.01 * w, 0.01 * torch.eye(w.shape[1], dtype=torch.float64)
    for place, k in enumerate(keys):
        g = guides[min(place, len(guides) - 1)]
        left, right = left + torch.outer(w @ g, k), right + torch.outer(k, k)
    plain = left @ torch.linalg.inv(right) - w
    settings: dict[str, Any] = {"anchor": "red house", "templates": ("{}",), "positions": "tail"}
    repeated, dropped = (
        next(iter(DiffQuickFix(**settings, surplus=rule)(sd1, CHURCH).deltas.values())) for rule in ("repeat", "drop")
    )
    assert (repeated - plain).norm() < 1e-5 * plain.norm()
    assert (dropped - plain).norm() > 1e-2 * plain.norm()


def test_keys_in_surplus_are_of_the_tail_alone() -> None:
    with pytest.raises(BadArgument, match="Only the tail"):
        DiffQuickFix(surplus="repeat")


def test_the_layer_answers_the_concept_as_the_anchor_bias_included(sd1: Model) -> None:
    edit = DiffQuickFix(anchor="house", templates=("a {}",), lamb=1e-7)(sd1, CHURCH)
    encoder, tokenizer = sd1.pipeline.text_encoder, sd1.pipeline.tokenizer
    layer = inner(encoder).encoder.layers[0].self_attn.out_proj
    (church, last), (house, _) = (layer_inputs(encoder, tokenizer, text) for text in ("a church", "a house"))
    before = layer(house[last].float())
    with edit.on(sd1):
        torch.testing.assert_close(layer(church[last].float()), before, rtol=0, atol=1e-3)


@pytest.mark.parametrize("anchor", ["dog", "truck"])
def test_a_church_then_says_nearly_its_anchor(anchor: str) -> None:
    model = load("emoji")  # a random encoder holds nothing in any one layer
    with DiffQuickFix.preset(model, anchor=anchor)(model, CHURCH).on(model):
        edited = model.encode(["a church"]).hidden[0]
    church, replaced = model.encode(["a church", f"a {anchor}"]).hidden
    assert (edited - replaced).norm() < 0.5 * (church - replaced).norm()


def test_tokens_are_an_argument(sd1: Model) -> None:
    edits = [DiffQuickFix.preset(sd1, positions=positions)(sd1, CHURCH) for positions in ("last", "end", "tail", "all")]
    assert len({edit.id for edit in edits}) == 4


def test_another_layer_may_be_chosen(sd1: Model) -> None:
    (name,) = DiffQuickFix.preset(sd1, layer=2)(sd1, CHURCH).deltas
    assert ".layers.2." in name
    with pytest.raises(EmptySelection, match=r"layers\.12"):
        DiffQuickFix.preset(sd1, layer=12)(sd1, CHURCH)


def test_the_model_is_left_as_it_was_and_each_text_is_encoded_once(sd1: Model) -> None:
    before = weights_hash(sd1)
    with encoded_texts(sd1) as texts, count_rows(sd1) as denoiser, Operations() as operations:
        DiffQuickFix(templates=("{}", "a {}"), anchor="house")(sd1, [CHURCH, Concept("dog")])
    assert weights_hash(sd1) == before
    assert (sum(texts), denoiser.rows) == (6, 0)  # two concepts and the anchor they share, in two templates
    assert operations.solving == {"linalg_cholesky_ex": 1, "cholesky_solve": 1}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    half, full = Model(tiny_sd1().to(dtype)), Model(tiny_sd1())
    (one,), (other,) = (DiffQuickFix.preset(model)(model, CHURCH).deltas.values() for model in (half, full))
    assert (one - other).norm() < 0.1 * other.norm()


def test_what_it_takes_by_default(sd1: Model) -> None:
    assert DiffQuickFix.preset("CompVis/stable-diffusion-v1-4") == DiffQuickFix()
    plain = DiffQuickFix()
    assert (plain.lamb, plain.layer, plain.positions, len(plain.templates)) == (0.01, 0, "last", 4)
    assert methods.DiffQuickFix is DiffQuickFix
    ink = Concept("red", kind="style")
    bare = DiffQuickFix(templates=("{}",))
    assert bare(sd1, ink) == replace(bare, anchor="painting")(sd1, ink)
    assert bare(sd1, CHURCH) == replace(bare, anchor="object")(sd1, CHURCH)
    assert bare(sd1, CHURCH) != bare(sd1, ink)


def test_what_cannot_be_is_refused(sd1: Model) -> None:
    with pytest.raises(BadArgument, match="anchor is ' '"):
        DiffQuickFix(anchor=" ")(sd1, CHURCH)
    with pytest.raises(BadArgument, match="once"):
        DiffQuickFix(templates=("a photo",))(sd1, CHURCH)
    with pytest.raises(EmptyConcept, match="no token"):
        DiffQuickFix.preset(sd1)(sd1, Concept("é"))
    with pytest.raises(BadArgument, match="lamb"):
        DiffQuickFix(lamb=float("inf"))(sd1, CHURCH)
