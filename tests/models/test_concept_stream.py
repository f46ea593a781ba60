"""Concepts beside a picture, held against one masked attention of picture, text and concepts, written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb

from turpentine.core.errors import UnsupportedModel
from turpentine.models import Model, hooked
from turpentine.models.concept_stream import ConceptStream, concept_blocks
from turpentine.models.sites import Site
from turpentine.testing.toys import tiny_sd3, toy

Pair = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(params=["sd3", "sd3 with attn2", "flux"])
def model(request: pytest.FixtureRequest) -> Model:
    return Model(tiny_sd3(whole=True)) if request.param == "sd3 with attn2" else toy(request.param)


def heads(attention: Any, layer: str, norm: str, x: torch.Tensor) -> torch.Tensor:
    """Return tokens by place, then heads, as diffusers' rotation takes them."""
    x = getattr(attention, layer)(x).unflatten(-1, (attention.heads, -1))
    return getattr(attention, norm)(x) if norm else x


def masked(attention: Any, pixels: torch.Tensor, text: torch.Tensor, own: torch.Tensor, turn: Any) -> Pair:
    """Return picture's and concepts' output of one attention over concepts, text and picture, in this order."""
    extra = torch.cat([own, text], dim=1)
    parts = []
    for letter, norm in (("q", "norm_{}q"), ("k", "norm_{}k"), ("v", "")):
        of_text = heads(attention, f"add_{letter}_proj", norm.format("added_"), extra)
        of_picture = heads(attention, f"to_{letter}", norm.format(""), pixels)
        joined = torch.cat([of_text, of_picture], dim=1)
        if turn is not None and letter != "v":
            still = [torch.ones(own.shape[1], turn[0].shape[1]), torch.zeros(own.shape[1], turn[0].shape[1])]
            angles = tuple(torch.cat([first, each]) for first, each in zip(still, turn, strict=True))
            joined = apply_rotary_emb(joined, angles, sequence_dim=1)
        parts.append(joined.transpose(1, 2))
    count, texts, whole = own.shape[1], text.shape[1], extra.shape[1] + pixels.shape[1]
    sees = torch.ones(whole, whole, dtype=torch.bool)
    sees[count:, :count] = False  # neither text nor picture sees a concept
    sees[:count, count : count + texts] = False  # nor a concept the text
    weights = (parts[0] @ parts[1].transpose(-1, -2) / parts[0].shape[-1] ** 0.5).masked_fill(~sees, -torch.inf)
    mixed = (weights.softmax(-1) @ parts[2]).transpose(1, 2).flatten(2)
    return mixed[:, count + texts :], mixed[:, :count]


def written_out(model: Model, blocks: list[dict[str, Any]], concepts: torch.Tensor) -> list[Pair]:
    own = model.denoiser.context_embedder(concepts)[None].expand(2, -1, -1)
    pairs = []
    for block, call in zip(model.denoiser.transformer_blocks, blocks, strict=True):
        norm = block.norm1(call["hidden_states"], emb=call["temb"])
        is_last = getattr(block, "context_pre_only", False)
        time = {"conditioning_embedding" if is_last else "emb": call["temb"]}
        changed = block.norm1_context(own, **time)
        text = block.norm1_context(call["encoder_hidden_states"], **time)
        given, text = (changed, text) if is_last else (changed[0], text[0])
        pairs.append(masked(block.attn, norm[0], text, given, call.get("image_rotary_emb")))
        if is_last:
            break
        _, gate, shift, scale, last = changed
        own = own + gate[:, None] * block.attn.to_add_out(pairs[-1][1])
        inner = block.norm2_context(own) * (1 + scale[:, None]) + shift[:, None]
        own = own + last[:, None] * block.ff_context(inner)
    return pairs


@torch.no_grad()
def test_it_is_one_masked_attention_and_leaves_the_picture_as_it_is(model: Model) -> None:
    cond, x = model.encode(["a church", "a red dog"]), model.noise([0, 1], size=(32, 16))
    plain = model.eps(x, 500, cond)
    concepts = torch.randn(3, cond.hidden.shape[-1], generator=torch.Generator().manual_seed(0))
    seen: list[Pair] = []

    def keep(site: Site, of_picture: torch.Tensor, of_concepts: torch.Tensor) -> None:
        seen.append((of_picture, of_concepts))

    after, before = ConceptStream(model, concepts, keep).hooks()
    blocks: list[dict[str, Any]] = []
    handles = [
        block.register_forward_pre_hook(lambda module, args, kwargs: blocks.append(kwargs), with_kwargs=True)
        for block in model.denoiser.transformer_blocks
    ]
    with hooked(model, after, before=before):
        assert torch.equal(model.eps(x, 500, cond), plain)
    for handle in handles:
        handle.remove()
    expected = written_out(model, blocks, concepts)
    assert len(seen) == len(expected) == len(concept_blocks(model))
    for ours, theirs in zip(seen, expected, strict=True):
        torch.testing.assert_close(ours[0], theirs[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours[1], theirs[1], atol=1e-5, rtol=1e-4)


def test_a_model_without_joint_attention_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Stable Diffusion has no joint blocks"):
        concept_blocks(toy("sd1"))
