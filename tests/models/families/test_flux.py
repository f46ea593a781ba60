"""FLUX.1 against diffusers' own pipeline, and what its transformer has and has not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel

from turpentine.attribution import Objective
from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.core.parts import Parts
from turpentine.erase._training.states import SamplingSettings, StoredStates, TrainingPrompts
from turpentine.models import DENOISER, ClassifierFree, Model, Trajectory, TrueGuidance, hooked, sample
from turpentine.models.families.flux import Flux, packed, streams, unpacked
from turpentine.models.families.transformer_sites import walk_flux
from turpentine.models.families.walk import sites_on
from turpentine.testing.toys import tiny_flux, toy

PROMPTS = ["a church", "a red dog and a cat on blue"]


@pytest.fixture(scope="module")
def dev() -> Model:
    """Shared, so leave it as it was."""
    return quiet(toy("flux"))


@pytest.fixture(scope="module")
def schnell() -> Model:
    """Without a guidance of its own, and without a shift."""
    return quiet(Model(tiny_flux(distilled=False)))


def quiet(model: Model) -> Model:
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def run(model: Model, x: torch.Tensor, **how: Any) -> torch.Tensor:
    negative = how.pop("negative", "")
    *_, last = sample(model, model.encode(PROMPTS), model.encode([negative]), x, **{"steps": 2, **how})
    return last.x_next


def theirs(model: Model, x: torch.Tensor, steps: int = 2, **how: Any) -> torch.Tensor:
    height, width = (side * 4 for side in x.shape[-2:])
    pictures = model.pipeline(
        PROMPTS, num_inference_steps=steps, latents=packed(x), height=height, width=width, output_type="latent", **how
    )
    return unpacked(pictures.images, *x.shape[-2:])


def test_tokens_are_those_of_the_pipeline(dev: Model) -> None:
    x = torch.randn(2, 4, 8, 6)
    assert torch.equal(packed(x), dev.pipeline._pack_latents(x, 2, 4, 8, 6))
    assert torch.equal(unpacked(packed(x), 8, 6), x)


@pytest.mark.parametrize("size", [(32, 32), (64, 16)])
def test_steps_are_those_of_the_pipeline(dev: Model, size: tuple[int, int]) -> None:
    """With its defaults: guidance 3.5 by the denoiser itself, the shift of the size, places of the picture's tokens."""
    x = dev.noise([0, 1], size=size)
    assert dev.embeds_guidance and type(dev.family) is Flux
    torch.testing.assert_close(run(dev, x, guidance_scale=3.5), theirs(dev, x), atol=1e-5, rtol=1e-5)
    one = theirs(dev, x, steps=1, guidance_scale=1.5)
    torch.testing.assert_close(run(dev, x, steps=1, guidance_scale=1.5), one, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(run(dev, x, steps=1, guidance_scale=3.5), one, atol=1e-4)


def test_true_guidance_is_that_of_the_pipeline(dev: Model) -> None:
    x = dev.noise([0, 1])
    ours = run(dev, x, guidance_scale=4.0, guidance=TrueGuidance(embedded=3.5), negative="red")
    other = theirs(dev, x, true_cfg_scale=4.0, negative_prompt=["red"] * 2)
    torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-5)


def test_without_a_guidance_of_its_own_it_is_led_as_others_are(schnell: Model) -> None:
    x = schnell.noise([0, 1])
    assert not schnell.embeds_guidance
    torch.testing.assert_close(run(schnell, x, guidance_scale=1.0), theirs(schnell, x), atol=1e-5, rtol=1e-5)
    other = theirs(schnell, x, true_cfg_scale=4.0, negative_prompt=["", ""])
    torch.testing.assert_close(run(schnell, x, guidance_scale=4.0), other, atol=1e-5, rtol=1e-5)


def test_pictures_and_texts_are_those_of_the_pipeline(dev: Model) -> None:
    """Those of one that CLIP cuts, and of the empty one, too."""
    x = dev.noise([0, 1])
    how: dict[str, Any] = {"num_inference_steps": 1, "height": 32, "width": 32, "output_type": "pt"}
    pictures = dev.pipeline(PROMPTS, latents=packed(x), **how).images
    pixels = (dev.family.pixels(run(dev, x, steps=1, guidance_scale=3.5)) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pixels, pictures, atol=1e-5, rtol=1e-5)
    texts = [*PROMPTS, "a " * 20 + "church", ""]
    with pytest.warns(UserWarning, match="has 23 tokens: the model reads the first 16"):
        ours = dev.encode(texts)
    hidden, pooled, _ = dev.pipeline.encode_prompt(texts)
    assert torch.equal(ours.hidden, hidden) and torch.equal(ours.pooled, pooled)


def test_a_negative_prompt_needs_true_guidance(dev: Model) -> None:
    with pytest.raises(BadArgument, match=r"this model computes guidance itself: leave it out, or give guidance=True"):
        dev.generate("a church", steps=1, negative_prompt="red")
    with pytest.raises(BadArgument, match="this model computes guidance itself"):
        dev.generate("a church", steps=1, negative_prompt="red", guidance=ClassifierFree())
    assert dev.generate("a church", steps=1, negative_prompt="red", guidance=TrueGuidance())[0].size == (32, 32)


def test_the_table_of_sites(dev: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name.removeprefix("transformer."))
        for site in dev.sites.only(component=DENOISER, level="layer")
    ]
    double, single = "transformer_blocks.0.", "single_transformer_blocks.0."
    assert [(kind, role, name.removeprefix(double)) for label, kind, role, name in table if label == "BLOCK1"] == [
        ("modulation", "", "norm1.linear"),
        ("modulation", "", "norm1_context.linear"),
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
        ("joint-attention", "image-output", "attn.to_out.0"),
        ("joint-attention", "output", "attn.to_add_out"),
        ("feed-forward", "", "ff.net.0.proj"),
        ("feed-forward", "", "ff.net.2"),
        ("feed-forward", "", "ff_context.net.0.proj"),
        ("feed-forward", "", "ff_context.net.2"),
    ]
    assert [(kind, role, name.removeprefix(single)) for label, kind, role, name in table if label == "BLOCK2"] == [
        ("modulation", "", "norm.linear"),
        ("feed-forward", "", "proj_mlp"),
        ("joint-attention", "query", "attn.to_q"),
        ("joint-attention", "key", "attn.to_k"),
        ("joint-attention", "value", "attn.to_v"),
        ("norm", "", "attn.norm_q"),
        ("norm", "", "attn.norm_k"),
        ("projection", "", "proj_out"),
    ]
    assert [(kind, name) for label, kind, _, name in table if not label] == [
        ("input", "x_embedder"),
        ("time", "time_text_embed.timestep_embedder.linear_1"),
        ("time", "time_text_embed.timestep_embedder.linear_2"),
        ("time", "time_text_embed.guidance_embedder.linear_1"),
        ("time", "time_text_embed.guidance_embedder.linear_2"),
        ("context", "time_text_embed.text_embedder.linear_1"),
        ("context", "time_text_embed.text_embedder.linear_2"),
        ("context", "context_embedder"),
        ("modulation", "norm_out.linear"),
        ("output", "proj_out"),
    ]
    assert {site.resolution for site in dev.sites.only(label="BLOCK?")} == {4}


def test_at_true_size_every_weight_is_at_a_site() -> None:
    """FLUX.1-dev's own configuration, without numbers."""
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
    sites = sites_on(walk_flux(transformer, 64))
    layers = [name for site in sites if site.level == "layer" for name in site.parameters]
    assert sorted(layers) == sorted(f"transformer.{name}" for name, _ in transformer.named_parameters())
    joint = [site for site in sites if site.kind == "joint-attention" and site.level == "module"]
    assert [site.label for site in joint] == [f"BLOCK{n}" for n in range(1, 19 + 38 + 1)]


def test_the_order_is_that_of_execution_and_every_weight_is_at_a_site(dev: Model) -> None:
    seen = []
    with hooked(dev, {}, before={dev.sites: lambda call: seen.append(call.site)}), torch.no_grad():
        dev.eps(dev.noise([0]), 500, dev.encode(["a church"]))
    assert seen == list(dev.sites)
    parts = ("transformer", "text_encoder", "text_encoder_2")
    weights = {f"{part}.{name}" for part in parts for name, _ in dev.components[part].named_parameters()}
    tied = {"text_encoder_2.shared.weight": "text_encoder_2.encoder.embed_tokens.weight"}
    assert set(dev.sites.only(level="layer").parameters()) == {tied.get(name, name) for name in weights}


def test_readers_read_what_readings_say(dev: Model) -> None:
    given = {}

    def keep(what):
        return lambda call: given.update({what: call.args[0]})

    cond, readers = dev.encode(["a church"]), dev.family.readers()
    with hooked(dev, {readers[what]: keep(what) for what in readers}), torch.no_grad():
        dev.eps(dev.noise([0]), 500, cond)
    tokens, pooled = dev.readings
    assert torch.equal(given["hidden"], tokens.states(dev, cond))
    assert torch.equal(given["pooled"], pooled.states(dev, cond)[:, 0])
    assert (
        list(tokens.find("a red church", "church").subject) == [2] == list(dev.text.find("a red church").subject)[-1:]
    )


def test_what_the_picture_attends_to_is_the_texts_part_of_the_joint_softmax(dev: Model) -> None:
    """Written out by complex numbers: with all columns it gives what the module gives, and each row of them sums to 1.

    In the double block and in the single one; text is first in both.
    """
    calls, x = [], dev.noise([0, 1], size=(32, 16))
    with hooked(dev, {dev.sites.only(kind="joint-attention", level="module"): calls.append}), torch.no_grad():
        dev.eps(x, 500, dev.encode(PROMPTS))
    assert len(calls) == 2
    for call in calls:
        attn, (pixels, text) = call.module, streams(call)
        is_double = attn.added_kv_proj_dim is not None
        count = text.shape[1]

        def heads(x, norm=None, attn=attn):
            x = x.unflatten(2, (attn.heads, -1)).transpose(1, 2)
            return x if norm is None else norm(x)

        def placed(x, cos=call.kwargs["image_rotary_emb"][0], sin=call.kwargs["image_rotary_emb"][1]):
            angle = torch.complex(cos[:, ::2], sin[:, ::2])
            return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * angle).flatten(-2)

        with torch.no_grad():
            q, k, v = (
                (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj) if is_double else (attn.to_q, attn.to_k, attn.to_v)
            )
            norm_q, norm_k = (attn.norm_added_q, attn.norm_added_k) if is_double else (attn.norm_q, attn.norm_k)
            query = placed(torch.cat([heads(q(text), norm_q), heads(attn.to_q(pixels), attn.norm_q)], 2))
            key = placed(torch.cat([heads(k(text), norm_k), heads(attn.to_k(pixels), attn.norm_k)], 2))
            joint = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1)
            mixed = joint @ torch.cat([heads(v(text)), heads(attn.to_v(pixels))], 2)
            mixed = mixed.transpose(1, 2).flatten(2)
            given = attn.to_out[0](mixed[:, count:]) if is_double else mixed
            torch.testing.assert_close(given, call.tensor, atol=1e-5, rtol=1e-4)
        of_text = joint[:, :, count:, :count]
        torch.testing.assert_close(joint[:, :, count:].sum(-1), torch.ones(of_text.shape[:3]))
        ours = torch.cat([each for _, each in dev.attention(call)], dim=1)
        torch.testing.assert_close(ours, of_text / of_text.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_a_size_and_what_it_has_not(dev: Model) -> None:
    assert dev.generate("a dog", steps=1, size=(16, 24))[0].size == (24, 16)
    with pytest.raises(BadArgument, match="give multiples of 8 pixels"):
        dev.generate("a dog", steps=1, size=20)
    with pytest.raises(UnsupportedModel, match=r"^FLUX.1 has no cross-attention"):
        dev.sites.only(kind="cross-attention", level="module")


def test_what_changes_what_it_computes_is_refused_by_name() -> None:
    pipeline = tiny_flux()
    pipeline.transformer = FluxTransformer2DModel.from_config(pipeline.transformer.config, in_channels=24)
    with pytest.raises(UnsupportedModel, match="takes 24 channels and gives 24, and a latent has 16"):
        Model(pipeline)
    kind = type("FluxControlPipeline", (), {"__call__": lambda self: None})
    other = kind()
    vars(other).update(tiny_flux().components)
    with pytest.raises(UnsupportedModel, match="FluxControlPipeline draws otherwise than FluxPipeline"):
        Model(other)


def test_training_predicts_with_the_guidance_that_its_states_were_drawn_with(dev: Model) -> None:
    """Else the unchanged model would be away from its own predictions, which are the target here."""
    prompts = TrainingPrompts(("a church",), ("a church",), lambda start, concept, uncond: concept, rest=("",))
    sampling = SamplingSettings(2, 2.0, range(2), 0)
    states = StoredStates(dev, prompts, sampling, Parts(None, None), lambda done, total: None)
    batch = states.batch(0, 3)
    torch.testing.assert_close(dev.followed(batch.x, batch.t, batch.cond), batch.target, atol=1e-5, rtol=1e-5)
    plain = dev.followed(batch.x, batch.t, dev.encode(["a church"]).repeat(3))
    assert not torch.allclose(plain, batch.target, atol=1e-5)


def test_attribution_measures_with_the_guidance_of_its_run(dev: Model) -> None:
    run = Trajectory.record(dev, "a church", 0, steps=2, guidance_scale=2.0)
    objective = Objective.apart(dev, run, guidance_scale=2.0, is_in_output=True)
    apart = (run.eps_uncond - run.eps_cond).square().flatten(1).sum(1).mean().item()
    assert objective.value(dev) == pytest.approx(apart, rel=1e-3)
