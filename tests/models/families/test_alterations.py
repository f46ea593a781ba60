"""What may be on a pipeline: refused by name, with the way out, or honoured. docs/pipelines.md has a row for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    CogVideoXDDIMScheduler,
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    IFPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import CustomDiffusionAttnProcessor2_0, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from peft import LoraConfig, get_peft_model
from tiny import tiny_sd1, tiny_sdxl
from transformers import BertConfig, BertModel, CLIPTextModel, T5Config, T5EncoderModel

from turpentine.core.errors import BadArgument, NotFinite, UnsupportedModel
from turpentine.edits import save_single_file
from turpentine.models import Model
from turpentine.models.identity import describe
from turpentine.testing import toys

CROSS = "mid_block.attentions.0.transformer_blocks.0.attn2"
LORA = LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)


def adapted(pipeline: Any) -> None:
    pipeline.unet.add_adapter(LORA)


def adapted_encoder(pipeline: Any) -> None:
    pipeline.text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]))


def switched_off(pipeline: Any) -> None:
    pipeline.unet.add_adapter(LORA)
    pipeline.unet.disable_adapters()


def wrapped_by_peft(pipeline: Any) -> None:
    pipeline.unet = get_peft_model(pipeline.unet, LORA)


def fused(pipeline: Any) -> None:
    pipeline.fuse_qkv_projections()


def unfused(pipeline: Any) -> None:
    pipeline.fuse_qkv_projections()
    pipeline.unfuse_qkv_projections()


def freeu(pipeline: Any) -> None:
    pipeline.enable_freeu(0.9, 0.2, 1.2, 1.4)


def ip_adapter(pipeline: Any) -> None:
    pipeline.unet.config.encoder_hid_dim_type = "ip_image_proj"
    projection = ImageProjection(image_embed_dim=8, cross_attention_dim=16, num_image_text_embeds=2)
    pipeline.unet.encoder_hid_proj = MultiIPAdapterImageProjection([projection])


def ip_attention(pipeline: Any) -> None:
    pipeline.unet.get_submodule(CROSS).set_processor(IPAdapterAttnProcessor2_0(32, 16))


def custom_attention(pipeline: Any) -> None:
    pipeline.unet.get_submodule(CROSS).set_processor(CustomDiffusionAttnProcessor2_0(hidden_size=32))


def compiled(pipeline: Any) -> None:
    pipeline.unet = torch.compile(pipeline.unet, backend="eager")


def compiled_decoder(pipeline: Any) -> None:
    pipeline.vae.decoder = torch.compile(pipeline.vae.decoder, backend="eager")


def compiled_in_place(pipeline: Any) -> None:
    pipeline.unet.compile(backend="eager")


def in_parallel(pipeline: Any) -> None:
    pipeline.unet = torch.nn.DataParallel(pipeline.unet)


def offloaded_by_layers(pipeline: Any) -> None:
    pipeline.enable_sequential_cpu_offload(device="cpu")


def offloaded_whole(pipeline: Any) -> None:
    pipeline.enable_model_cpu_offload(device="cpu")


def offloaded_by_groups(pipeline: Any) -> None:
    pipeline.unet.enable_group_offload(torch.device("cpu"), torch.device("cpu"), offload_type="leaf_level")


def cast_by_layers(pipeline: Any) -> None:
    pipeline.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def small_floats(pipeline: Any) -> None:
    pipeline.unet.conv_in.to(torch.float8_e4m3fn)


def quantised(pipeline: Any) -> None:
    torch.ao.quantization.quantize_dynamic(pipeline.text_encoder, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)


def foreign_layer(pipeline: Any) -> None:
    class Linear8(torch.nn.Linear):
        """A layer of another program's, such as a quantised one."""

    pipeline.unet.get_submodule(CROSS).to_k = Linear8(16, 32)


def parametrised(pipeline: Any) -> None:
    torch.nn.utils.parametrizations.weight_norm(pipeline.unet.conv_in)


def hooked(pipeline: Any) -> None:
    pipeline.unet.conv_in.register_forward_hook(lambda *_: None)


def replaced_forward(pipeline: Any) -> None:
    forward = pipeline.unet.forward
    pipeline.unet.forward = lambda *args, **kwargs: forward(*args, **kwargs)


def in_training(pipeline: Any) -> None:
    pipeline.unet = UNet2DConditionModel(**{**toys._unet(whole=False), "dropout": 0.5}).train()


def left_padded(pipeline: Any) -> None:
    pipeline.tokenizer.padding_side = "left"


def left_cut(pipeline: Any) -> None:
    pipeline.tokenizer.truncation_side = "left"


def masked(pipeline: Any) -> None:
    pipeline.text_encoder.config.use_attention_mask = True


def inference_tensors(pipeline: Any) -> None:
    with torch.inference_mode():
        pipeline.unet.conv_in = torch.nn.Conv2d(4, 32, 3, padding=1)


def taesd(pipeline: Any) -> None:
    widths: dict[str, Any] = dict.fromkeys(("encoder_block_out_channels", "decoder_block_out_channels"), (8,) * 3)
    pipeline.vae = AutoencoderTiny(**widths, num_encoder_blocks=(1,) * 3, num_decoder_blocks=(1,) * 3)


def tiled(pipeline: Any) -> None:
    pipeline.vae.enable_tiling()


def statistics(pipeline: Any) -> None:
    pipeline.vae.register_to_config(latents_mean=[0.1] * 4, latents_std=[2.0] * 4)


def shifted(pipeline: Any) -> None:
    pipeline.vae.register_to_config(shift_factor=0.1)


def bert(pipeline: Any) -> None:
    sizes = dict.fromkeys(("hidden_size", "intermediate_size", "max_position_embeddings"), 16)
    pipeline.text_encoder = BertModel(BertConfig(num_hidden_layers=1, num_attention_heads=2, **sizes))


def _unet(**config: Any) -> Callable[[Any], None]:
    def change(pipeline: Any) -> None:
        pipeline.unet = UNet2DConditionModel(**{**toys._unet(whole=False), **config})

    return change


def _scheduler(kind: Any, **config: Any) -> Callable[[Any], None]:
    def change(pipeline: Any) -> None:
        pipeline.scheduler = (
            kind(**{**toys._BETAS, **config}) if kind is not FlowMatchEulerDiscreteScheduler else kind()
        )

    return change


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "LoRA": (adapted, r"unet\.\S+to_k has a LoRA of PEFT's on it: pipe.unload_lora_weights\(\)"),
    "LoRA of the text encoder": (adapted_encoder, r"text_encoder\.\S+q_proj has a LoRA"),
    "LoRA that is switched off": (switched_off, "has a LoRA of PEFT's"),
    "PEFT model": (wrapped_by_peft, r"unet is PEFT's: .*merge_and_unload"),
    "fused projections": (fused, r"attn1 has fused projections"),
    "fused projections, taken off": (unfused, r"has fused projections"),
    "FreeU": (freeu, r"has FreeU on it: call pipe.disable_freeu\(\)"),
    "IP-Adapter": (ip_adapter, r"IP-Adapter .*pipe.unload_ip_adapter\(\)"),
    "IP-Adapter's attention": (ip_attention, r"attn2 has an IP-Adapter on it"),
    "another attention": (custom_attention, r"attends by CustomDiffusionAttnProcessor2_0"),
    "compiled": (compiled, "unet is compiled: put its _orig_mod"),
    "compiled in part": (compiled_decoder, "vae.decoder is compiled"),
    "compiled in place": (compiled_in_place, "unet is compiled in place"),
    "in parallel": (in_parallel, "unet is in a DataParallel: put its module"),
    "offloaded layer by layer": (offloaded_by_layers, r"is offloaded \(AlignDevicesHook\).*pipe.remove_all_hooks\(\)"),
    "offloaded network by network": (offloaded_whole, r"unet is offloaded \(CpuOffload\).*pipe.remove_all_hooks\(\)"),
    "offloaded by groups": (offloaded_by_groups, "diffusers' .*group_offloading"),
    "cast layer by layer": (cast_by_layers, "has diffusers' layerwise_casting"),
    "8-bit floats": (small_floats, "conv_in is quantised, its weight a Parameter of torch.float8_e4m3fn"),
    "quantised": (quantised, "is a Linear of torch.ao.nn.quantized"),
    "a layer of another program": (foreign_layer, "is a Linear8 of"),
    "parametrised": (parametrised, "conv_in.* of torch.nn.utils.parametriz"),
    "hooks": (hooked, "conv_in has a hook of another program's"),
    "a replaced forward": (replaced_forward, "unet has a forward of another program's"),
    "padding on the left": (left_padded, "another padding_side than 'right'"),
    "cutting on the left": (left_cut, "another truncation_side than 'right'"),
    "hidden padding": (masked, "use_attention_mask"),
    "weights of the inference mode": (inference_tensors, r"conv_in has its weight from inside .*inference_mode\(\)"),
    "TAESD": (taesd, "The autoencoder is a AutoencoderTiny"),
    "VAE tiling": (tiled, r"disable_tiling\(\)"),
    "VAE statistics of Stable Diffusion": (statistics, "latents_mean and latents_std, which .* passes over"),
    "VAE shift": (shifted, "shift_factor, which .* passes over"),
    "another text encoder": (bert, "The text encoder is a BertModel"),
    "guidance embedding": (_unet(time_cond_proj_dim=8), "reads the guidance scale as LCM's"),
    "class labels": (_unet(num_class_embeds=4), "reads a class beside the text"),
    "GLIGEN": (_unet(attention_type="gated", cross_attention_dim=16), "gated attention"),
    "predicted variance": (_unet(out_channels=8), "gives 8 channels"),
    "inpainting": (_unet(in_channels=9), "takes 9 channels"),
    "LCM's scheduler": (_scheduler(LCMScheduler), "LCMScheduler is for a model distilled"),
    "flow": (_scheduler(FlowMatchEulerDiscreteScheduler), "is not known: a model must predict"),
    "predicting the picture": (_scheduler(DDPMScheduler, prediction_type="sample", clip_sample=False), "'sample'"),
    "clipped pictures": (_scheduler(DDIMScheduler, clip_sample=True), "clips the picture in every step"),
    "thresholding": (_scheduler(DDIMScheduler, clip_sample=False, thresholding=True), "set its thresholding to False"),
    "learned variance": (
        _scheduler(DDPMScheduler, clip_sample=False, variance_type="learned_range"),
        "'learned_range' variance, and these networks predict none: set its variance_type to None",
    ),
    "continuous time": (_scheduler(EulerDiscreteScheduler, timestep_type="continuous"), "'continuous' timesteps"),
}


def half_of_it(pipeline: Any) -> None:
    pipeline.unet.conv_in.to(torch.float16)


def no_size(pipeline: Any) -> None:
    pipeline.unet.register_to_config(sample_size=None)


def no_scheduler(pipeline: Any) -> None:
    pipeline.scheduler = None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (half_of_it, r"unet has weights of torch\.float16 and torch\.float32: load it in one"),
        (no_size, "has no sample_size: set it, to 64"),
        (no_scheduler, "has no scheduler"),
    ],
)
def test_what_is_missing_or_of_two_formats_is_a_sentence(change: Callable[[Any], None], sentence: str) -> None:
    pipeline = tiny_sd1()
    change(pipeline)
    with pytest.raises(UnsupportedModel, match=sentence):
        Model(pipeline)


def test_a_second_text_encoder_without_a_projection_is_named() -> None:
    pipeline = tiny_sdxl()
    pipeline.text_encoder_2 = CLIPTextModel(pipeline.text_encoder_2.config)
    with pytest.raises(UnsupportedModel, match="text_encoder_2 is a CLIPTextModel, which has no projection"):
        Model(pipeline)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(name: str) -> None:
    pipeline = tiny_sd1()
    change, sentence = REFUSED[name]
    change(pipeline)
    with pytest.raises(UnsupportedModel, match=sentence) as caught:
        Model(pipeline)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("offload", [offloaded_by_layers, offloaded_whole])
def test_offloading_that_is_taken_off_is_the_plain_pipeline(offload: Callable[[Any], None], sd1: Model) -> None:
    pipeline = tiny_sd1()
    offload(pipeline)
    pipeline.remove_all_hooks()
    assert Model(pipeline).fingerprint == sd1.fingerprint


def test_another_pipeline_with_the_same_networks_is_refused() -> None:
    parts = tiny_sd1().components
    control = ControlNetModel.from_unet(parts["unet"])
    with pytest.raises(UnsupportedModel, match=r"StableDiffusionPipeline\.from_pipe"):
        Model(StableDiffusionControlNetPipeline(**parts, controlnet=control, requires_safety_checker=False))
    t5 = T5EncoderModel(T5Config(vocab_size=200, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    own = {"unet": parts["unet"], "tokenizer": parts["tokenizer"], "text_encoder": t5, "scheduler": DDPMScheduler()}
    none = dict.fromkeys(("safety_checker", "feature_extractor", "watermarker"))
    with pytest.raises(UnsupportedModel, match="IFPipeline draws otherwise"):
        Model(IFPipeline(**own, **none, requires_safety_checker=False))
    assert Model(StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)).size == (32, 32)


def test_what_is_put_on_later_is_refused_by_all_that_draws_keeps_edits_or_writes(tmp_path: Path) -> None:
    pipeline = tiny_sd1()
    model = Model(pipeline)
    adapted(pipeline)
    uses: list[Callable[[], Any]] = [
        lambda: model.generate("a dog", steps=1),
        lambda: describe(model),
        lambda: model.save_pretrained(tmp_path / "folder"),
        lambda: save_single_file(model, tmp_path / "one.safetensors"),
    ]
    for use in uses:
        with pytest.raises(UnsupportedModel, match="has a LoRA of PEFT's"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_by_chance_draws_nothing() -> None:
    pipeline = tiny_sd1()
    in_training(pipeline)
    model = Model(pipeline)
    model.generate("a dog", steps=1)
    pipeline.unet.train()
    with pytest.raises(UnsupportedModel, match=r"is in training, .*: call eval\(\)"):
        model.generate("a dog", steps=1)


def test_autocast_is_refused_by_what_draws_and_by_every_key(sd1: Model) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for use in (lambda: sd1.generate("a dog", steps=1), lambda: describe(sd1)):
            with pytest.raises(UnsupportedModel, match=r"torch\.autocast is on"):
                use()


def test_another_autoencoders_scale_is_the_one_that_is_there() -> None:
    pipeline = tiny_sd1()
    model = Model(pipeline)
    before = model.generate("a dog", steps=1)[0]
    pipeline.vae.register_to_config(scaling_factor=1.0)
    after = model.generate("a dog", steps=1)[0]
    assert after.tobytes() == Model(pipeline).generate("a dog", steps=1)[0].tobytes() != before.tobytes()


@pytest.mark.parametrize("factor", [0.9, None])
def test_a_table_that_is_not_its_configs_is_refused(factor: float | None) -> None:
    pipeline = tiny_sd1()
    if factor is None:
        pipeline.scheduler = CogVideoXDDIMScheduler.from_config(pipeline.scheduler.config)
    else:
        pipeline.scheduler.alphas_cumprod = pipeline.scheduler.alphas_cumprod * factor
    with pytest.raises(UnsupportedModel, match="alphas_cumprod are not those of its config's betas"):
        Model(pipeline).generate("a dog", steps=1)


def test_steps_beyond_the_trained_ones_are_refused() -> None:
    pipeline = tiny_sd1()
    pipeline.scheduler = DDIMScheduler(**{**toys._BETAS, "clip_sample": False, "steps_offset": 500})
    with pytest.raises(BadArgument, match=r"begin at timestep 1000, .*steps_offset to 0"):
        Model(pipeline).generate("a dog", steps=2)


def test_torchs_defaults_change_no_noise(sd1: Model) -> None:
    right = sd1.noise([0])
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.equal(sd1.noise([0]), right) and sd1.noise([0]).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_lora_that_is_fused_and_unloaded_is_in_the_weights(tmp_path: Path) -> None:
    pipeline = tiny_sd1()
    adapted(pipeline)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    model = Model(pipeline)
    model.save_pretrained(tmp_path / "out")
    read = StableDiffusionPipeline.from_pretrained(tmp_path / "out", safety_checker=None)
    weight = model.parameter(f"unet.{CROSS}.to_k.weight")
    assert torch.equal(read.unet.get_parameter(f"{CROSS}.to_k.weight"), weight)
    assert not torch.equal(weight, Model(tiny_sd1()).parameter(f"unet.{CROSS}.to_k.weight"))


def test_slices_and_another_kernel_draw_the_same() -> None:
    pipeline = tiny_sd1()
    before = Model(pipeline).generate("a church", steps=2)[0]
    pipeline.enable_attention_slicing()
    pipeline.vae.enable_slicing()
    after = Model(pipeline).generate("a church", steps=2)[0]
    apart = torch.frombuffer(bytearray(before.tobytes()), dtype=torch.uint8).int() - torch.frombuffer(
        bytearray(after.tobytes()), dtype=torch.uint8
    )
    assert apart.abs().max() <= 1


def test_vae_statistics_of_sdxl_are_those_of_its_pipeline() -> None:
    pipeline = tiny_sdxl()
    pipeline.vae.register_to_config(latents_mean=[0.3, -0.2, 0.1, 0.0], latents_std=[2.0, 0.5, 1.5, 1.0])
    pipeline.set_progress_bar_config(disable=True)
    model = Model(pipeline)
    z = model.noise([0])
    with torch.no_grad():
        torch.testing.assert_close(model.family.latents(model.family.pixels(z)).shape, z.shape)
        drawn = pipeline("a dog", latents=z, num_inference_steps=1, guidance_scale=1.0, output_type="latent").images
        right = pipeline("a dog", latents=z, num_inference_steps=1, guidance_scale=1.0, output_type="pt").images
        torch.testing.assert_close((model.family.pixels(drawn) / 2 + 0.5).clamp(0, 1), right, atol=1e-5, rtol=1e-5)
        parts = pipeline.vae.encode(model.family.pixels(z)).latent_dist.mode()
    mean, std = (torch.tensor(pipeline.vae.config[key])[:, None, None] for key in ("latents_mean", "latents_std"))
    with torch.no_grad():
        ours = model.family.latents(model.family.pixels(z))
    torch.testing.assert_close(ours, (parts - mean) * pipeline.vae.config.scaling_factor / std)


def test_half_of_the_statistics_is_refused() -> None:
    pipeline = tiny_sdxl()
    pipeline.vae.register_to_config(latents_mean=[0.1] * 4)
    with pytest.raises(UnsupportedModel, match="latents_mean"):
        Model(pipeline)


def test_of_the_pipelines_own_solver_only_the_schedule_counts(sd1: Model) -> None:
    pipeline = tiny_sd1()
    pipeline.scheduler = PNDMScheduler.from_config(pipeline.scheduler.config)
    for ours, right in zip(Model(pipeline).generate("a dog", steps=2), sd1.generate("a dog", steps=2), strict=True):
        assert ours.tobytes() == right.tobytes()


def test_another_prediction_of_the_pipelines_scheduler_is_the_models() -> None:
    pipeline = tiny_sd1()
    model = Model(pipeline)
    assert model.describe()["prediction"] == "epsilon"
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, prediction_type="v_prediction")
    assert model.describe()["prediction"] == "v_prediction"
    assert type(model.family.parametrisation).__name__ == "Velocity"


def test_a_weight_that_is_no_number_is_named_by_the_fingerprint() -> None:
    pipeline = tiny_sd1()
    pipeline.vae.decoder.conv_in.weight.data[0] = torch.nan
    with pytest.raises(NotFinite, match=r"vae\.decoder\.conv_in\.weight holds NaN"):
        _ = Model(pipeline).fingerprint


def test_the_docs_have_a_row_for_each_and_each_row_a_test() -> None:
    root = Path(__file__).parents[3]
    lines = (root / "docs/pipelines.md").read_text("utf-8").splitlines()
    table = [line.split("|") for line in lines if line.startswith("|") and "`test" in line]
    named = {name for row in table for name in re.findall(r"`(test_\w+)`", row[-2])}
    defined = {
        name for path in (root / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named and named <= defined
    refused = {row[1].strip() for row in table if "`test_it_is_refused_by_name`" in row[-2]}
    assert refused == set(REFUSED)
