"""Stable Diffusion 3 against diffusers' own pipeline, and what its transformer has and has not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from transformers import BertConfig, BertModel

import turpentine as tp
from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.models import DENOISER, Model, hooked, is_small, sample
from turpentine.models.churn import Churn
from turpentine.models.families.flow_solvers import goes_by_betas, shift_of
from turpentine.models.families.stable_diffusion_3 import StableDiffusion3
from turpentine.models.families.text_sites import text_sites
from turpentine.models.families.transformer_sites import walk_joint
from turpentine.models.families.walk import module_of, sites_on
from turpentine.models.inverse import inverse_steps
from turpentine.models.loading.source import check_source, is_model
from turpentine.testing.toys import tiny_sd3, toy

PROMPTS = ["a church", "a red dog and a cat on blue"]

MEDIUM_35 = {
    "sample_size": 128,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
    "dual_attention_layers": tuple(range(13)),
}


@pytest.fixture(scope="module")
def sd3() -> Model:
    """With T5; shared, so leave it as it was."""
    return toy("sd3")


@pytest.fixture(scope="module")
def bare() -> Model:
    """Without T5, and with attention of the picture to itself."""
    return Model(tiny_sd3(t5=False, whole=True))


@pytest.fixture(params=["sd3", "bare"])
def model(request: pytest.FixtureRequest) -> Model:
    model: Model = request.getfixturevalue(request.param)
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def run(model: Model, steps: int, scale: float, solver: str = "ddim") -> torch.Tensor:
    cond, uncond, noise = model.encode(PROMPTS), model.encode([""]), model.noise([0, 1])
    *_, last = sample(model, cond, uncond, noise, steps=steps, guidance_scale=scale, solver=solver)
    return last.x_next


def test_it_is_of_its_family(model: Model) -> None:
    assert type(model.family) is StableDiffusion3
    assert type(model.pipeline).__name__ == StableDiffusion3.pipeline_class
    assert model.describe()["prediction"] == "flow_prediction"


@pytest.mark.parametrize(("steps", "scale"), [(1, 7.0), (4, 7.0), (3, 1.0)])
def test_steps_are_those_of_the_pipeline(model: Model, steps: int, scale: float) -> None:
    """With its defaults: guidance 7, T5 or zeros in its place, the pooled vectors, a shift of 3."""
    theirs = model.pipeline(
        PROMPTS, num_inference_steps=steps, guidance_scale=scale, latents=model.noise([0, 1]), output_type="latent"
    ).images
    torch.testing.assert_close(run(model, steps, scale), theirs, atol=1e-5, rtol=1e-5)


def test_pictures_are_those_of_the_pipeline(model: Model) -> None:
    latents = run(model, 2, 7.0)
    theirs = model.pipeline(
        PROMPTS, num_inference_steps=2, guidance_scale=7.0, latents=model.noise([0, 1]), output_type="pt"
    ).images
    pixels = (model.family.pixels(latents) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pixels, theirs, atol=1e-5, rtol=1e-5)


def test_texts_are_those_of_the_pipeline(model: Model) -> None:
    """Those of one that is cut, and of the empty one, too."""
    long = "a " * 20 + "church"
    with pytest.warns(UserWarning, match="has 23 tokens: the model reads the first 16"):
        ours = model.encode([*PROMPTS, long])
    theirs, empty, pooled, empty_pooled = model.pipeline.encode_prompt([*PROMPTS, long], None, None)
    assert torch.equal(ours.hidden, theirs) and torch.equal(ours.pooled, pooled)
    nothing = model.encode(["", "", ""])
    assert torch.equal(nothing.hidden, empty) and torch.equal(nothing.pooled, empty_pooled)


def test_ddim_is_euler_and_dpm_that_of_diffusers(bare: Model) -> None:
    assert shift_of(bare.pipeline.scheduler) == 3.0 and not goes_by_betas(bare.schedule.solver("ddim"))
    assert torch.equal(run(bare, 3, 4.0), run(bare, 3, 4.0, "euler"))
    pipe, before = bare.pipeline, bare.pipeline.scheduler
    pipe.scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    try:
        theirs = pipe(
            PROMPTS, num_inference_steps=3, guidance_scale=4.0, latents=bare.noise([0, 1]), output_type="latent"
        ).images
    finally:
        pipe.scheduler = before
    torch.testing.assert_close(run(bare, 3, 4.0, "dpm"), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_a_shift_that_hangs_on_the_size_is_that_of_the_pipeline(bare: Model, kind: str) -> None:
    pipe, before, x = bare.pipeline, bare.pipeline.scheduler, bare.noise([0, 1], size=(32, 16))
    sizes = {"base_image_seq_len": 4, "max_image_seq_len": 16, "base_shift": 0.5, "max_shift": 3.0}
    cond, uncond, how = bare.encode(PROMPTS), bare.encode([""]), {"steps": 3, "guidance_scale": 4.0}
    asked = {"num_inference_steps": 3, "guidance_scale": 4.0, "height": 32, "width": 16, "output_type": "latent"}
    dynamic = {"use_dynamic_shifting": True, "time_shift_type": kind}
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(**dynamic, **sizes)
    try:
        theirs = pipe(PROMPTS, latents=x, **asked).images
        *_, last = sample(bare, cond, uncond, x, **how)
        torch.testing.assert_close(last.x_next, theirs, atol=1e-5, rtol=1e-5)
        if kind == "linear":
            with pytest.raises(UnsupportedModel, match="dpm takes exponential shifts alone"):
                run(bare, 3, 4.0, "dpm")
            return
        *_, last = sample(bare, cond, uncond, x, solver="dpm", **how)
        pipe.scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, **dynamic)
        pipe.scheduler.register_to_config(**sizes)
        theirs = pipe(PROMPTS, latents=x, **asked).images
    finally:
        pipe.scheduler = before
    torch.testing.assert_close(last.x_next, theirs, atol=1e-5, rtol=1e-5)


def test_the_table_of_sites(bare: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name) for site in bare.sites.only(component=DENOISER, level="layer")
    ]
    block = [each for each in table if each[0] == "BLOCK1"]
    assert [(kind, role, name.removeprefix("transformer.transformer_blocks.0.")) for _, kind, role, name in block] == [
        ("modulation", "", "norm1.linear"),
        ("modulation", "", "norm1_context.linear"),
        ("joint-attention", "image-query", "attn.to_q"),
        ("joint-attention", "image-key", "attn.to_k"),
        ("joint-attention", "image-value", "attn.to_v"),
        ("norm", "", "attn.norm_q"),
        ("norm", "", "attn.norm_k"),
        ("joint-attention", "query", "attn.add_q_proj"),
        ("joint-attention", "key", "attn.add_k_proj"),
        ("joint-attention", "value", "attn.add_v_proj"),
        ("norm", "", "attn.norm_added_q"),
        ("norm", "", "attn.norm_added_k"),
        ("joint-attention", "output", "attn.to_add_out"),
        ("joint-attention", "image-output", "attn.to_out.0"),
        ("self-attention", "query", "attn2.to_q"),
        ("self-attention", "key", "attn2.to_k"),
        ("self-attention", "value", "attn2.to_v"),
        ("norm", "", "attn2.norm_q"),
        ("norm", "", "attn2.norm_k"),
        ("self-attention", "output", "attn2.to_out.0"),
        ("feed-forward", "", "ff.net.0.proj"),
        ("feed-forward", "", "ff.net.2"),
        ("feed-forward", "", "ff_context.net.0.proj"),
        ("feed-forward", "", "ff_context.net.2"),
    ]
    outside = [(kind, name.removeprefix("transformer.")) for label, kind, _, name in table if not label]
    assert outside == [
        ("input", "pos_embed.proj"),
        ("time", "time_text_embed.timestep_embedder.linear_1"),
        ("time", "time_text_embed.timestep_embedder.linear_2"),
        ("context", "time_text_embed.text_embedder.linear_1"),
        ("context", "time_text_embed.text_embedder.linear_2"),
        ("context", "context_embedder"),
        ("modulation", "norm_out.linear"),
        ("output", "proj_out"),
    ]
    assert {site.resolution for site in bare.sites.only(label="BLOCK?")} == {4}
    assert module_of("transformer.transformer_blocks.0.ff_context.net.2.weight").endswith("0.ff_context")


def test_the_order_is_that_of_execution_and_every_weight_is_at_a_site(model: Model) -> None:
    seen = []
    with hooked(model, {}, before={model.sites: lambda call: seen.append(call.site)}), torch.no_grad():
        model.eps(model.noise([0]), 500, model.encode(["a church"]))
    assert seen == list(model.sites)
    weights = {
        f"{part}.{name}"
        for part in ("transformer", *model.family.encoder_names.values())
        for name, _ in model.components[part].named_parameters()
    }
    tied = {"text_encoder_3.shared.weight": "text_encoder_3.encoder.embed_tokens.weight"}
    assert set(model.sites.only(level="layer").parameters()) == {tied.get(name, name) for name in weights}


def test_a_t5_alone_has_the_sites_that_it_has_as_the_third(sd3: Model) -> None:
    third = [site for site in sd3.sites if site.component == "text-3"]
    alone = text_sites({"text": sd3.pipeline.text_encoder_3})
    assert [site.name.replace("text_encoder", "text_encoder_3") for site in alone] == [site.name for site in third]
    assert [site.role for site in alone if site.label == "TEXT1" and site.role] == ["query", "key", "value", "output"]


def test_the_second_attention_of_35_medium_is_the_pictures_own() -> None:
    with torch.device("meta"):
        transformer = SD3Transformer2DModel(**MEDIUM_35)
    sites = sites_on(walk_joint(transformer))
    layers = [name for site in sites if site.level == "layer" for name in site.parameters]
    assert sorted(layers) == sorted(f"transformer.{name}" for name, _ in transformer.named_parameters())
    whole = [site for site in sites if site.level == "module"]
    assert sum(site.kind == "joint-attention" for site in whole) == 24
    own = [site for site in whole if site.kind == "self-attention"]
    assert [site.label for site in own] == [f"BLOCK{n}" for n in range(1, 14)]
    assert all(site.name.endswith(".attn2") and site.resolution == 64 for site in own)


def test_readers_read_what_readings_say(sd3: Model) -> None:
    """CLIP's tokens, then T5's, and the pooled vector; T5 has no start token."""
    given = {}

    def keep(what):
        return lambda call: given.update({what: call.args[0]})

    cond, readers = sd3.encode(["a church"]), sd3.family.readers()
    with hooked(sd3, {readers[what]: keep(what) for what in readers}), torch.no_grad():
        sd3.eps(sd3.noise([0]), 500, cond)
    clip, t5, pooled = sd3.readings
    states = torch.cat([clip.states(sd3, cond), t5.states(sd3, cond)], dim=1)
    assert torch.equal(given["hidden"], states) and torch.equal(given["pooled"], pooled.states(sd3, cond)[:, 0])
    assert list(clip.find("a red church", "church").subject) == [3]
    assert list(t5.find("a red church", "church").subject) == [2]
    assert (t5.find("").end, list(t5.find("").subject)) == (0, [0])
    assert pooled.find("a red church", "church").last == 0


def test_what_the_picture_attends_to_is_the_texts_part_of_the_joint_softmax(sd3: Model) -> None:
    """Written out: with all columns it gives what the module gives, and each row of them sums to 1."""
    sites, calls = sd3.sites.only(kind="joint-attention", level="module"), []
    with hooked(sd3, {sites: calls.append}), torch.no_grad():
        sd3.eps(sd3.noise([0, 1]), 500, sd3.encode(PROMPTS))
    for call in calls:
        attn, pixels, text = call.module, call.kwargs["hidden_states"], call.kwargs["encoder_hidden_states"]

        def heads(x, norm=None, attn=attn):
            x = x.unflatten(2, (attn.heads, -1)).transpose(1, 2)
            return x if norm is None else norm(x)

        with torch.no_grad():
            query = heads(attn.to_q(pixels), attn.norm_q)
            keys = heads(attn.to_k(pixels), attn.norm_k), heads(attn.add_k_proj(text), attn.norm_added_k)
            values = heads(attn.to_v(pixels)), heads(attn.add_v_proj(text))
            joint = (query @ torch.cat(keys, 2).transpose(-1, -2) / 8**0.5).softmax(-1)
            mixed = (joint @ torch.cat(values, 2)).transpose(1, 2).flatten(2)
            torch.testing.assert_close(attn.to_out[0](mixed), call.tensor, atol=1e-5, rtol=1e-4)
        of_text = joint[..., pixels.shape[1] :]
        ours = torch.cat([each for _, each in sd3.attention(call)], dim=1)
        torch.testing.assert_close(ours, of_text / of_text.sum(-1, keepdim=True))


def test_a_batch_a_size_and_a_seed_are_as_in_every_family(bare: Model) -> None:
    one, two = (
        bare.generate(PROMPTS, seeds=[3, 4], steps=2),
        bare.generate(PROMPTS, seeds=[3, 4], steps=2, batch_size=1),
    )
    assert [image.tobytes() for image in one] == [image.tobytes() for image in two]
    assert bare.generate("a dog", steps=1, size=(16, 24))[0].size == (24, 16)
    with pytest.raises(BadArgument, match="give multiples of 8 pixels"):
        bare.generate("a dog", steps=1, size=20)
    with pytest.raises(BadArgument, match="more than this denoiser has places for: give 64 pixels at most"):
        bare.generate("a dog", steps=1, size=72)


def test_what_it_has_not_is_refused_in_a_sentence_that_names_it(bare: Model) -> None:
    with pytest.raises(UnsupportedModel, match=r"^Stable Diffusion 3 has no cross-attention"):
        bare.sites.only(kind="cross-attention", level="module")
    with pytest.raises(UnsupportedModel, match=r"^Stable Diffusion 3 has no resnets"):
        tp.models.selected(bare.sites, "resnet")
    with pytest.raises(UnsupportedModel, match="ddpm adds fresh noise"):
        bare.generate("a dog", solver="ddpm", steps=1)
    with pytest.raises(UnsupportedModel, match="DDIM's inversion is of schedules of betas, and this is a flow model"):
        inverse_steps(bare, 4)
    run = (bare.encode(["a dog"]), bare.encode([""]), bare.noise([0]))
    with pytest.raises(UnsupportedModel, match="Noise of η in DDIM's steps is of schedules of betas"):
        next(sample(bare, *run, steps=2, guidance_scale=1.0, churn=Churn(1.0)))
    for call in (bare.family.original_names, lambda: bare.family.embed_time(torch.tensor([1.0]))):
        with pytest.raises(UnsupportedModel, match=r"^Stable Diffusion 3 has no"):
            call()


def _bert() -> BertModel:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=200, **small))


ALTERED = {
    "another encoder": ("text_encoder_2", _bert, "The text encoder is a BertModel: Turpentine reads CLIP's alone"),
    "fresh noise": (
        "scheduler",
        lambda: FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
        "adds fresh noise in each step: set its stochastic_sampling to False",
    ),
    "a schedule of betas": ("scheduler", DPMSolverMultistepScheduler, "with 'epsilon' prediction is no flow's"),
    "inpainting": (
        "transformer",
        lambda: SD3Transformer2DModel.from_config(tiny_sd3().transformer.config, in_channels=9),
        "takes 9 channels and gives 4, and a latent has 4",
    ),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_changes_what_it_computes_is_refused_by_name(case: str) -> None:
    name, make, sentence = ALTERED[case]
    pipeline = tiny_sd3(t5=False)
    setattr(pipeline, name, make())
    with pytest.raises(UnsupportedModel, match=sentence):
        Model(pipeline)


def test_it_loads_from_a_folder_in_diffusers_layout(model: Model, tmp_path: Path) -> None:
    model.pipeline.save_pretrained(tmp_path / "sd3")
    again = tp.load(tmp_path / "sd3", device="cpu")
    assert again.fingerprint == model.fingerprint
    assert torch.equal(run(again, 1, 7.0), run(model, 1, 7.0))


def test_the_embedded_transformer_is_a_model_by_name() -> None:
    check_source("emoji-mmdit")
    assert is_model("emoji-mmdit") and is_small("emoji-mmdit")
    model = tp.load("emoji-mmdit", device="cpu")
    facts = model.describe()
    assert (facts["family"], facts["picture"], facts["tokens"]) == ("Stable Diffusion 3", "32 x 32", 32)
    assert len(model.sites.only(kind="joint-attention", level="module")) == 6
    assert model.generate("a church", steps=1)[0].size == (32, 32)
