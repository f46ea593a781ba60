"""FLUX.2 klein against diffusers' own pipeline: its chat, places, shift and latents, and layers that are one."""

from __future__ import annotations

from inspect import signature
from typing import Any

import polars as pl
import pytest
import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from models.families.holds import sites_are_in_order
from torch import nn
from transformers import BertConfig, BertModel

from turpentine.attack import Relearning
from turpentine.attack._student import _weights_of
from turpentine.attribution import attributable
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.erase import ESD
from turpentine.models import DENOISER, Model, hooked, sample, sever
from turpentine.models.families.flow_solvers import fitted_shift
from turpentine.models.families.flux import streams
from turpentine.models.families.flux_2 import layers_of
from turpentine.models.families.flux_2_klein import Flux2Klein
from turpentine.models.families.transformer_sites import walk_flux_2
from turpentine.models.families.walk import module_of
from turpentine.models.site_table import best_sites
from turpentine.testing.toys import tiny_flux_2, toy

PROMPTS = ["a church", "a red dog and a cat on blue"]
SIZE = (16, 32)
SINGLE = "transformer.single_transformer_blocks.0.attn"
FUSED = f"{SINGLE}.to_qkv_mlp_proj"
X_STRICT: dict[str, Any] = {"sites": "x-strict", "steps": 2, "trajectories": 1, "sampling_steps": 2, "lr": 1e-2}


@pytest.fixture(scope="module")
def klein() -> Model:
    """Shared, so leave it as it was."""
    model = toy("flux2")
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def run(model: Model, steps: int = 1, scale: float = 4.0) -> torch.Tensor:
    cond, uncond, x = model.encode(PROMPTS), model.encode([""]), model.noise([0, 1], size=SIZE)
    *_, last = sample(model, cond, uncond, x, steps=steps, guidance_scale=scale)
    return last.x_next


@pytest.mark.parametrize(("steps", "how"), [(1, {}), (3, {}), (2, {"guidance_scale": 1.0})])
def test_steps_are_those_of_the_pipeline(klein: Model, steps: int, how: dict[str, Any]) -> None:
    """With its defaults, guidance 4 of the empty prompt and the shift of steps and size, or without guidance."""
    assert type(klein.family) is Flux2Klein and type(klein.pipeline).__name__ == Flux2Klein.pipeline_class
    x, ours = klein.noise([0, 1], size=SIZE), run(klein, steps, how.get("guidance_scale", 4.0))
    given = {"latents": x, "height": SIZE[0], "width": SIZE[1], "text_encoder_out_layers": (1, 2, 3), **how}
    drawn = klein.pipeline(prompt=PROMPTS, num_inference_steps=steps, output_type="latent", **given).images
    of_autoencoder: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(klein.pipeline.vae, "decode", lambda z, **_: (of_autoencoder.append(z), (z[:, :3],))[1])
        klein.family.pixels(ours)
    torch.testing.assert_close(of_autoencoder[0], drawn, atol=1e-5, rtol=1e-5)
    pictures = klein.pipeline(prompt=PROMPTS, num_inference_steps=steps, output_type="pt", **given).images
    torch.testing.assert_close((klein.family.pixels(ours) / 2 + 0.5).clamp(0, 1), pictures, atol=1e-5, rtol=1e-5)


def test_latents_are_those_of_the_pipeline(klein: Model) -> None:
    """By fours, scaled by the batch norm's statistics, which decide the numbers and so are in the fingerprint."""
    pixels = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(klein.family.latents(pixels), klein.pipeline._encode_vae_image(pixels, None))
    other = tiny_flux_2()
    other.vae.bn.running_var[3] += 1
    assert Model(other).fingerprint != klein.fingerprint


def test_texts_are_those_of_the_pipeline(klein: Model) -> None:
    """Padding and all; of the empty one, too; the layers are those that it reads by default."""
    theirs, _ = klein.pipeline.encode_prompt([*PROMPTS, ""], text_encoder_out_layers=(1, 2, 3))
    assert torch.equal(klein.encode([*PROMPTS, ""]).hidden, theirs)
    for method in (Flux2KleinPipeline.__call__, Flux2KleinPipeline.encode_prompt):
        assert signature(method).parameters["text_encoder_out_layers"].default == Flux2Klein.layers
    assert layers_of(36, Flux2Klein.layers) == Flux2Klein.layers
    places = klein.text.find("a red church", "church")
    assert (list(places.subject), places.end) == ([5], 6)


@pytest.mark.parametrize("tokens", [4, 1024, 4300, 4301, 16384])
def test_the_shift_is_the_pipelines(tokens: int) -> None:
    for steps in (1, 4, 50):
        assert fitted_shift({}, tokens, steps) == pytest.approx(compute_empirical_mu(tokens, steps), rel=1e-12)


def test_the_table_of_sites(klein: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name.removeprefix("transformer."))
        for site in klein.sites.only(component=DENOISER, level="layer")
    ]
    double, single = "transformer_blocks.0.", "single_transformer_blocks.0.attn."
    assert [(kind, role, name.removeprefix(double)) for label, kind, role, name in table if label == "BLOCK1"] == [
        ("joint-attention", "image-query", "attn.to_q"),
        ("joint-attention", "image-key", "attn.to_k"),
        ("joint-attention", "image-value", "attn.to_v"),
        ("joint-attention", "query", "attn.add_q_proj"),
        ("joint-attention", "key", "attn.add_k_proj"),
        ("joint-attention", "value", "attn.add_v_proj"),
        ("norm", "", "attn.norm_q"),
        ("norm", "", "attn.norm_k"),
        ("norm", "", "attn.norm_added_q"),
        ("norm", "", "attn.norm_added_k"),
        ("joint-attention", "output", "attn.to_add_out"),
        ("joint-attention", "image-output", "attn.to_out.0"),
        ("feed-forward", "", "ff.linear_in"),
        ("feed-forward", "", "ff.linear_out"),
        ("feed-forward", "", "ff_context.linear_in"),
        ("feed-forward", "", "ff_context.linear_out"),
    ]
    assert [(kind, role, name.removeprefix(single)) for label, kind, role, name in table if label == "BLOCK2"] == [
        *(("joint-attention", role, f"to_qkv_mlp_proj:{role}") for role in ("query", "key", "value", "mlp")),
        ("norm", "", "norm_q"),
        ("norm", "", "norm_k"),
        ("joint-attention", "", "to_out"),
    ]
    assert [(kind, name) for label, kind, _, name in table if not label] == [
        ("time", "time_guidance_embed.timestep_embedder.linear_1"),
        ("time", "time_guidance_embed.timestep_embedder.linear_2"),
        ("modulation", "double_stream_modulation_img.linear"),
        ("modulation", "double_stream_modulation_txt.linear"),
        ("modulation", "single_stream_modulation.linear"),
        ("input", "x_embedder"),
        ("context", "context_embedder"),
        ("modulation", "norm_out.linear"),
        ("output", "proj_out"),
    ]
    assert module_of(f"{FUSED}.weight") == SINGLE


def test_every_weight_is_at_a_site_and_sites_are_in_order_of_execution(klein: Model) -> None:
    sites_are_in_order(klein, lambda: klein.denoiser, lambda network: walk_flux_2(network, 4))


def test_a_slice_is_a_site_like_any_other(klein: Model) -> None:
    """What is put at it sees and changes its part of the layer's output alone; together slices are the layer."""
    fused, given = klein.sites.only(name=f"{FUSED}:*"), {}
    keys = fused.only(role="key")
    with hooked(klein, {fused: lambda call: given.update({call.site.role: call.tensor})}), torch.no_grad():
        klein.eps(klein.noise([0]), 500, cond := klein.encode(["a church"]))
    assert [each.shape[-1] for each in given.values()] == [16, 16, 16, 96]
    outputs: list[torch.Tensor] = []
    handle = klein.module(FUSED).register_forward_hook(lambda module, args, output: outputs.append(output))
    with torch.no_grad():
        klein.eps(klein.noise([0]), 500, cond)
        assert torch.equal(torch.cat(list(given.values()), dim=-1), outputs[0])
        handle.remove()
        with sever(klein, keys):
            handle = klein.module(FUSED).register_forward_hook(lambda module, args, output: outputs.append(output))
            klein.eps(klein.noise([0]), 500, cond)
    handle.remove()
    assert not outputs[1][..., 16:32].any() and outputs[1][..., 32:].equal(outputs[0][..., 32:])
    assert klein.sites.named([FUSED]) == fused
    assert best_sites(klein.sites, pl.DataFrame({"weight": [f"{FUSED}.weight"], "score": [1.0]}), 1) == fused
    assert fused.slices() == {} and keys.slices() == {f"{FUSED}.weight": [(16, 32)]}
    assert (fused - keys).slices() == {f"{FUSED}.weight": [(0, 16), (32, 48), (48, 144)]}


@pytest.mark.parametrize("rank", [None, 2])
def test_training_of_keys_and_values_leaves_the_other_rows(klein: Model, rank: int | None) -> None:
    edit = ESD(**X_STRICT, rank=rank)(klein, Concept("church"))
    names = [name.removeprefix("transformer.").removesuffix(".weight") for name in edit.names]
    attn = "transformer_blocks.0.attn"
    assert names == [f"{attn}.add_k_proj", f"{attn}.add_v_proj", f"single_{attn}.to_qkv_mlp_proj"]
    delta = edit.deltas[f"{FUSED}.weight"]
    changed = delta.any(dim=1).nonzero().flatten()
    assert set(changed.tolist()) == set(range(16, 48))


def test_what_changes_whole_weights_refuses_some_rows(klein: Model) -> None:
    keys = klein.sites.only(name=f"{FUSED}:key")
    sentence = r"to_qkv_mlp_proj\.weight holds several layers in one, and only some of its rows are selected"
    with pytest.raises(UnsupportedModel, match=sentence):
        attributable(klein, keys)
    assert attributable(klein, "joint-attention")[-2:] == (f"{FUSED}.weight", f"{SINGLE}.to_out.weight")
    with pytest.raises(UnsupportedModel, match=sentence):
        _weights_of(Relearning(sites=(f"{FUSED}:key",)), 0, klein)


def test_what_the_picture_attends_to_is_the_texts_part_of_the_joint_softmax(klein: Model) -> None:
    """Written out by complex numbers, in the double block and in the single one: with all columns it gives the keys'.

    What the module gives follows from the probabilities of both, and each row of them sums to 1.
    """
    sites, calls = klein.sites.only(kind="joint-attention", level="module"), []
    with hooked(klein, {sites: calls.append}), torch.no_grad():
        klein.eps(klein.noise([0, 1], size=SIZE), 500, klein.encode(PROMPTS))
    assert len(calls) == 2
    for call in calls:
        attn, (pixels, text) = call.module, streams(call)
        count, cos, sin = text.shape[1], *call.kwargs["image_rotary_emb"]
        with torch.no_grad():
            query, key, value, inside = _projected(attn, pixels, text)
            angle = torch.complex(cos[:, ::2], sin[:, ::2])
            query, key = (torch.view_as_complex(each.unflatten(-1, (-1, 2)).contiguous()) for each in (query, key))
            query, key = (torch.view_as_real(each * angle).flatten(-2) for each in (query, key))
            joint = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1)
            mixed = (joint @ value).transpose(1, 2).flatten(2)
            if inside is None:
                given = attn.to_out[0](mixed[:, count:])
            else:
                gate, linear = inside.chunk(2, dim=-1)
                given = attn.to_out(torch.cat([mixed, nn.functional.silu(gate) * linear], dim=-1))
        torch.testing.assert_close(given, call.tensor, atol=1e-5, rtol=1e-4)
        of_text = joint[:, :, count:, :count]
        ours = torch.cat([each for _, each in klein.attention(call)], dim=1)
        torch.testing.assert_close(ours, of_text / of_text.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)


def _projected(attn: Any, pixels: torch.Tensor, text: torch.Tensor) -> tuple[Any, ...]:
    """Return queries, keys and values by head, text first, and what goes to the feed-forward network beside them."""

    def heads(x: torch.Tensor, norm: Any = None) -> torch.Tensor:
        split = x.unflatten(2, (2, -1)).transpose(1, 2)
        return split if norm is None else norm(split)

    if not hasattr(attn, "to_q"):
        query, key, value, inside = attn.to_qkv_mlp_proj(torch.cat([text, pixels], dim=1)).split([16, 16, 16, 96], -1)
        return heads(query, attn.norm_q), heads(key, attn.norm_k), heads(value), inside
    query = [heads(attn.add_q_proj(text), attn.norm_added_q), heads(attn.to_q(pixels), attn.norm_q)]
    key = [heads(attn.add_k_proj(text), attn.norm_added_k), heads(attn.to_k(pixels), attn.norm_k)]
    value = [heads(attn.add_v_proj(text)), heads(attn.to_v(pixels))]
    return torch.cat(query, dim=2), torch.cat(key, dim=2), torch.cat(value, dim=2), None


def test_what_the_reader_reads(klein: Model) -> None:
    given, readers = [], klein.family.readers()["hidden"]
    with hooked(klein, {readers: lambda call: given.append(call.args[0])}), torch.no_grad():
        klein.eps(klein.noise([0]), 500, cond := klein.encode(["a church"]))
    (reading,) = klein.readings
    assert torch.equal(given[0], reading.states(klein, cond))


def test_a_size_that_is_no_whole_number_of_tokens_is_refused(klein: Model) -> None:
    with pytest.raises(BadArgument, match="give multiples of 8 pixels"):
        klein.generate("a dog", steps=1, size=20)


def _bert() -> BertModel:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=500, **small))


def _changed(**changes: Any) -> Any:
    return lambda: Flux2Transformer2DModel.from_config({**tiny_flux_2().transformer.config, **changes})


ALTERED = {
    "another encoder": ("text_encoder", _bert, "reads Qwen3's alone"),
    "dev's transformer": (
        "transformer",
        _changed(guidance_embeds=True),
        "as FLUX.2 dev's: give the pipeline klein's own",
    ),
    "other channels": ("transformer", _changed(in_channels=32), "takes 32 channels and gives 32, and a latent has 16"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_changes_what_it_computes_is_refused_by_name(case: str) -> None:
    name, make, sentence = ALTERED[case]
    pipeline = tiny_flux_2()
    setattr(pipeline, name, make())
    with pytest.raises(UnsupportedModel, match=sentence):
        Model(pipeline)
