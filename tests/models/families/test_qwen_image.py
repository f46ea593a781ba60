"""Qwen-Image against diffusers' own pipeline: its chat, its mask, guided tokens, and an autoencoder of films."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from diffusers import QwenImageTransformer2DModel
from models.families.holds import (
    other_encoder,
    sites_are_in_order,
)

from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.models import DENOISER, Model, hooked, sample
from turpentine.models.families.flux import packed
from turpentine.models.families.qwen_image import QwenImage
from turpentine.models.families.transformer_sites import walk_qwen
from turpentine.models.families.walk import module_of
from turpentine.testing.toys import tiny_qwen

PROMPTS = ["a church", "church and a red dog and a cat on blue"]
SIZE = (16, 32)


@pytest.fixture(scope="module")
def qwen() -> Model:
    """With the real one's last σ; shared, so leave it as it was."""
    model = Model(tiny_qwen(terminal=0.02))
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def run(model: Model, steps: int, scale: float = 4.0, negative: str = "") -> torch.Tensor:
    cond, uncond, x = model.encode(PROMPTS), model.encode([negative]), model.noise([0, 1], size=SIZE)
    *_, last = sample(model, cond, uncond, x, steps=steps, guidance_scale=scale)
    return last.x_next


def theirs(model: Model, steps: int, negative: str | None = "", output: str = "latent") -> torch.Tensor:
    x, size = packed(model.noise([0, 1], size=SIZE)), {"height": SIZE[0], "width": SIZE[1]}
    negatives: Any = None if negative is None else [negative] * 2
    how: dict[str, Any] = {"num_inference_steps": steps, "negative_prompt": negatives, "latents": x, **size}
    drawn: torch.Tensor = model.pipeline(PROMPTS, output_type=output, **how).images
    return drawn


@pytest.mark.parametrize(("steps", "negative"), [(2, ""), (4, "a blue dog")])
def test_steps_are_those_of_the_pipeline(qwen: Model, steps: int, negative: str) -> None:
    """With its guidance of 4, scaled to the prompt's own length, its shift by the picture's size, and its mask."""
    assert type(qwen.family) is QwenImage and type(qwen.pipeline).__name__ == QwenImage.pipeline_class
    ours = packed(run(qwen, steps, negative=negative))
    torch.testing.assert_close(ours, theirs(qwen, steps, negative), atol=1e-5, rtol=1e-5)


def test_without_a_negative_prompt_its_pipeline_has_no_guidance(qwen: Model) -> None:
    latents = run(qwen, 2, 1.0)
    torch.testing.assert_close(packed(latents), theirs(qwen, 2, None), atol=1e-5, rtol=1e-5)
    pixels = (qwen.family.pixels(latents) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pixels, theirs(qwen, 2, None, "pt"), atol=1e-5, rtol=1e-5)


def test_one_step_to_a_last_level_is_refused(qwen: Model) -> None:
    """diffusers divides 0 by 0 there."""
    with pytest.raises(BadArgument, match="One step cannot both begin at pure noise and end at"):
        qwen.generate("a church", steps=1)


def test_texts_are_those_of_the_pipeline_without_the_chats_beginning(qwen: Model) -> None:
    hidden, mask = qwen.pipeline.encode_prompt(PROMPTS)
    ours, count = qwen.encode(PROMPTS), hidden.shape[1]
    assert torch.equal(ours.hidden[:, :count], hidden) and torch.equal(ours.mask[:, :count], mask)
    assert not ours.hidden[:, count:].any() and not ours.mask[:, count:].any()
    empty, _ = qwen.pipeline.encode_prompt([""])
    assert torch.equal(qwen.encode([""]).hidden[:, :5], empty)


def test_words_are_spelt_as_they_begin_a_text_or_stand_inside(qwen: Model) -> None:
    first, second = qwen.text.find_all("church and a church", "church")
    assert (list(first), list(second)) == (list(range(6)), [8])
    assert qwen.text.find("a red church").end == 3
    merged = Model(tiny_qwen())
    merged.pipeline.tokenizer.add_tokens(["\n\n"])
    with pytest.raises(BadArgument, match="joins the instruction before it"):
        merged.encode(["\na church"])


def test_the_table_of_sites(qwen: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name.removeprefix("transformer."))
        for site in qwen.sites.only(component=DENOISER, level="layer")
    ]
    block = "transformer_blocks.0"
    attention = [
        *(("joint-attention", f"image-{role}", f"to_{role[0]}") for role in ("query", "key", "value")),
        *(("joint-attention", role, f"add_{role[0]}_proj") for role in ("query", "key", "value")),
        *(("norm", "", f"norm_{name}") for name in ("q", "k", "added_q", "added_k")),
        ("joint-attention", "image-output", "to_out.0"),
        ("joint-attention", "output", "to_add_out"),
    ]
    assert [each[1:] for each in table if each[0] == "BLOCK1"] == [
        ("modulation", "", f"{block}.img_mod.1"),
        ("modulation", "", f"{block}.txt_mod.1"),
        *((kind, role, f"{block}.attn.{leaf}") for kind, role, leaf in attention),
        *(("feed-forward", "", f"{block}.{name}.net.{leaf}") for name in MLPS for leaf in ("0.proj", "2")),
    ]
    assert [(kind, name) for label, kind, _, name in table if not label] == [
        ("input", "img_in"),
        ("norm", "txt_norm"),
        ("context", "txt_in"),
        ("time", "time_text_embed.timestep_embedder.linear_1"),
        ("time", "time_text_embed.timestep_embedder.linear_2"),
        ("modulation", "norm_out.linear"),
        ("output", "proj_out"),
    ]
    assert module_of(f"transformer.{block}.img_mlp.net.2.weight").endswith("0.img_mlp")


MLPS = ("img_mlp", "txt_mlp")


def test_every_weight_is_at_a_site_and_sites_are_in_order_of_execution(qwen: Model) -> None:
    sites = sites_are_in_order(qwen, QwenImageTransformer2DModel, lambda network: walk_qwen(network, 64))
    assert sum(site.kind == "joint-attention" and site.level == "module" for site in sites) == 60


def test_what_the_picture_attends_to_is_the_texts_part_of_the_joint_softmax(qwen: Model) -> None:
    """With rotary places and without padding: mixed as the module mixes, all columns give what it gives."""
    from diffusers.models.transformers.transformer_qwenimage import apply_rotary_emb_qwen

    sites, calls = qwen.sites.only(kind="joint-attention", level="module"), []
    with hooked(qwen, {sites: calls.append}), torch.no_grad():
        qwen.eps(qwen.noise([0, 1]), 500, qwen.encode(PROMPTS))
    for call in calls:
        attn, (pixels, text) = call.module, (call.kwargs[key] for key in ("hidden_states", "encoder_hidden_states"))
        angles, mask = call.kwargs["image_rotary_emb"], call.kwargs["encoder_hidden_states_mask"]

        def heads(layer: str, norm: str, x: torch.Tensor, place: int, attn=attn, angles=angles) -> torch.Tensor:
            split = getattr(attn, norm)(getattr(attn, layer)(x).unflatten(-1, (attn.heads, -1)))
            return apply_rotary_emb_qwen(split, angles[place], use_real=False).transpose(1, 2)

        with torch.no_grad():
            query = heads("to_q", "norm_q", pixels, 0)
            keys = heads("add_k_proj", "norm_added_k", text, 1), heads("to_k", "norm_k", pixels, 0)
            agreement = query @ torch.cat(keys, 2).transpose(-1, -2) / 12**0.5
            whole = torch.cat([mask, torch.ones_like(pixels[..., 0], dtype=torch.bool)], 1)
            joint = agreement.masked_fill(~whole[:, None, None], float("-inf")).softmax(-1)
            values = torch.cat([attn.add_v_proj(text), attn.to_v(pixels)], 1).unflatten(-1, (attn.heads, -1))
            mixed = (joint @ values.transpose(1, 2)).transpose(1, 2).flatten(2)
            torch.testing.assert_close(attn.to_out[0](mixed), call.tensor, atol=1e-5, rtol=1e-4)
        of_text = joint[..., : text.shape[1]]
        ours = torch.cat([each for _, each in qwen.attention(call)], dim=1)
        torch.testing.assert_close(ours, of_text / of_text.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)
        assert (ours[0, ..., int(mask[0].sum()) :] == 0).all()


def test_what_the_reader_reads(qwen: Model) -> None:
    given, readers = [], qwen.family.readers()["hidden"]
    with hooked(qwen, {readers: lambda call: given.append(call.args[0])}), torch.no_grad():
        qwen.eps(qwen.noise([0]), 500, cond := qwen.encode(["a church"]))
    (reading,) = qwen.readings
    assert torch.equal(given[0], reading.states(qwen, cond)[:, : given[0].shape[1]])


def _changed(**changes: Any) -> Any:
    return lambda: QwenImageTransformer2DModel(**{**tiny_qwen().transformer.config, **changes})


ALTERED = {
    "another encoder": ("text_encoder", partial(other_encoder, 500), "reads Qwen2.5-VL's alone"),
    "a model that edits": ("transformer", _changed(zero_cond_t=True), "has zero_cond_t, as models that edit pictures"),
    "inpainting": ("transformer", _changed(in_channels=20), "takes 20 channels and gives 4, and a latent has 4"),
    "another chat": ("prompt_template_encode_start_idx", lambda: 33, "has 34 tokens, and the pipeline leaves out 33"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_changes_what_it_computes_is_refused_by_name(case: str) -> None:
    name, make, sentence = ALTERED[case]
    pipeline = tiny_qwen()
    setattr(pipeline, name, make())
    with pytest.raises(UnsupportedModel, match=sentence):
        Model(pipeline)
