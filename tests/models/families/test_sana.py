"""SANA against diffusers' own pipeline: the instruction, the mask, linear attention, and what it refuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, SanaTransformer2DModel
from models.families.holds import (
    other_encoder,
    sites_are_in_order,
)

from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.explain.maps import Maps
from turpentine.models import DENOISER, Model, hooked, sample, swap
from turpentine.models.attention import probabilities
from turpentine.models.families.sana import SANA, instruction
from turpentine.models.families.transformer_sites import walk_sana
from turpentine.testing.toys import tiny_sana, toy

PROMPTS = ["a Church", "a red dog and a cat on blue "]
PLAIN: dict[str, Any] = {"height": 32, "width": 64, "use_resolution_binning": False}


@pytest.fixture(scope="module")
def sana() -> Model:
    """Shared, so leave it as it was."""
    model = toy("sana")
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def run(model: Model, steps: int, negative: str = "") -> torch.Tensor:
    cond, uncond = model.encode(PROMPTS), model.encode([negative], negative=True)
    x = model.noise([0, 1], size=(32, 64))
    *_, last = sample(model, cond, uncond, x, steps=steps, guidance_scale=4.5, solver="dpm")
    return last.x_next


@pytest.mark.parametrize(("steps", "negative"), [(1, ""), (3, ""), (2, "a blue dog")])
def test_steps_are_those_of_the_pipeline(sana: Model, steps: int, negative: str) -> None:
    """With its defaults: guidance 4.5, its instruction, the mask, and negative prompts without the instruction."""
    assert type(sana.family) is SANA and type(sana.pipeline).__name__ == SANA.pipeline_class
    x = sana.noise([0, 1], size=(32, 64))
    how = {"num_inference_steps": steps, "negative_prompt": negative, "latents": x, **PLAIN}
    theirs = sana.pipeline(PROMPTS, output_type="latent", **how).images
    torch.testing.assert_close(run(sana, steps, negative), theirs, atol=1e-5, rtol=1e-5)
    pixels = sana.pipeline(PROMPTS, output_type="pt", **how).images
    ours = (sana.family.pixels(theirs) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(ours, pixels, atol=1e-5, rtol=1e-5)


def test_texts_are_those_of_the_pipeline_also_beside_the_empty_one(sana: Model) -> None:
    lines = instruction().split("\n")
    hidden, mask, empty, empty_mask = sana.pipeline.encode_prompt(PROMPTS, True, complex_human_instruction=lines)
    ours = sana.encode(["", PROMPTS[0], "", PROMPTS[1]])
    assert torch.equal(ours.hidden[[1, 3]], hidden) and torch.equal(ours.mask[[1, 3]], mask)
    assert torch.equal(ours.hidden[[0, 2]], empty) and torch.equal(ours.mask[[0, 2]], empty_mask)
    assert torch.equal(sana.encode([""], negative=True).hidden, empty[:1])


def test_words_are_where_the_instruction_leaves_them(sana: Model) -> None:
    assert [list(at) for at in sana.text.find_all("church and a church", "church")] == [[1], [4]]
    assert (sana.text.find("a red church").end, list(sana.text.find("").subject)) == (4, [0])
    merged = toy("sana")
    merged.pipeline.tokenizer.add_tokens(["Prompt: a"])
    with pytest.raises(BadArgument, match="joins the instruction before it"):
        merged.encode(["a church"])


def test_the_table_of_sites(sana: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name.removeprefix("transformer"))
        for site in sana.sites.only(component=DENOISER, level="layer")
    ]
    block, leaves = ".transformer_blocks.0", (("query", "to_q"), ("key", "to_k"), ("value", "to_v"))
    leaves += (("output", "to_out.0"),)
    assert [each[1:] for each in table if each[0] == "BLOCK1"] == [
        ("modulation", "", block),
        *(("self-attention", role, f"{block}.attn1.{leaf}") for role, leaf in leaves),
        *(("cross-attention", role, f"{block}.attn2.{leaf}") for role, leaf in leaves),
        ("feed-forward", "", f"{block}.ff.conv_inverted"),
        ("feed-forward", "", f"{block}.ff.conv_depth"),
        ("feed-forward", "", f"{block}.ff.conv_point"),
    ]
    assert [(kind, name) for label, kind, _, name in table if not label] == [
        ("modulation", ""),
        ("input", ".patch_embed.proj"),
        ("time", ".time_embed.emb.timestep_embedder.linear_1"),
        ("time", ".time_embed.emb.timestep_embedder.linear_2"),
        ("modulation", ".time_embed.linear"),
        ("context", ".caption_projection.linear_1"),
        ("context", ".caption_projection.linear_2"),
        ("norm", ".caption_norm"),
        ("output", ".proj_out"),
    ]


def _of_true_size() -> SanaTransformer2DModel:
    """That of 1600M at 1024 pixels, with norms as 1.5 has them."""
    return SanaTransformer2DModel(qk_norm="rms_norm_across_heads")


def test_every_weight_is_at_a_site_and_sites_are_in_order_of_execution(sana: Model) -> None:
    sites = sites_are_in_order(sana, _of_true_size, walk_sana)
    whole = [site for site in sites if site.level == "module"]
    assert sum(site.kind == "cross-attention" for site in whole) == 20
    text = [site.name for site in sana.sites.only(component="text", level="layer")]
    weights = [f"text_encoder.{name}" for name, _ in sana.components["text_encoder"].named_parameters()]
    assert sorted(text) == sorted(name.removesuffix(".weight") for name in weights)


def test_padding_is_attended_by_nothing_and_another_text_is_the_prompts_own(sana: Model) -> None:
    """With another text and its mask in all cross-attention, the network predicts what it does for that text."""
    sites, rows = sana.sites.only(kind="cross-attention", level="module"), []
    x, cond, other = sana.noise([0]), sana.encode(["a church"]), sana.encode(["a red dog and a cat"])
    after = {sites: lambda call: rows.extend(each for _, each in sana.attention(call))}
    with torch.no_grad():
        with hooked(sana, after):
            sana.eps(x, 500, cond)
        with swap(sana, sites, other):
            swapped = sana.eps(x, 500, cond)
        assert torch.equal(swapped, sana.eps(x, 500, other))
    used = int(cond.mask.sum())
    assert used == 3 and len(rows) == 2
    for each in rows:
        torch.testing.assert_close(each[..., :used].sum(-1), torch.ones_like(each[..., 0]))


def test_a_norm_over_all_heads_together_is_taken_so() -> None:
    """As SANA 1.5 has it: the probabilities, times the values, give what the module gives."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = SanaTransformer2DModel(**{**tiny_sana().transformer.config, "qk_norm": "rms_norm_across_heads"})
        attn, pixels, text = network.transformer_blocks[0].attn2, torch.randn(2, 6, 24), torch.randn(2, 5, 24)
        attn.norm_q.weight.data.uniform_(0.5, 2)
    rows = torch.cat([each for _, each in probabilities(attn, pixels, text)], dim=1)
    with torch.no_grad():
        mixed = rows @ attn.to_v(text).unflatten(2, (attn.heads, -1)).transpose(1, 2)
        ours = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
        torch.testing.assert_close(ours, attn(pixels, encoder_hidden_states=text), atol=1e-5, rtol=1e-5)


def test_what_the_readers_read_is_the_projected_text(sana: Model) -> None:
    given = []
    with hooked(sana, {sana.family.readers()["hidden"]: lambda call: given.append(call.args[0])}), torch.no_grad():
        sana.eps(sana.noise([0]), 500, cond := sana.encode(["a church"]))
    (reading,) = sana.readings
    assert len(given) == 4 and all(torch.equal(text, reading.states(sana, cond)) for text in given)


def test_maps_are_drawn_of_it(sana: Model) -> None:
    finding = Maps(steps=1)(sana, ["a red church"], [0])
    assert finding.table["word"].to_list() == ["a", "red", "church"]


def test_pictures_become_the_latents_that_decode_to_them(sana: Model) -> None:
    spec, pixels = sana.family.latent, torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    assert (spec.channels, spec.factor, spec.patch, spec.largest) == (4, 4, 1, None)
    with torch.no_grad():
        own = sana.vae.encode(pixels).latent * 0.5
        assert torch.equal(sana.encode_pixels(pixels), own)
        torch.testing.assert_close(sana.family.pixels(own), sana.vae.decode(own * 2).sample)


def _distilled() -> SanaTransformer2DModel:
    return SanaTransformer2DModel(**{**tiny_sana().transformer.config, "guidance_embeds": True})


ALTERED = {
    "another autoencoder": ("vae", lambda: AutoencoderKL(norm_num_groups=1), "put the model's own AutoencoderDC there"),
    "a distilled one": ("transformer", _distilled, "reads the guidance scale, distilled into its weights"),
    "another encoder": ("text_encoder", partial(other_encoder, 800), "reads Gemma 2's alone"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_changes_what_it_computes_is_refused_by_name(case: str) -> None:
    name, make, sentence = ALTERED[case]
    pipeline = tiny_sana()
    setattr(pipeline, name, make())
    with pytest.raises(UnsupportedModel, match=sentence):
        Model(pipeline)
