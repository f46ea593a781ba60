"""Tiny random pipelines built like the real ones: Stable Diffusion 1, 2 (v-prediction), SDXL and 3.

Images are 32 px and latents 4 x 8 x 8. They have few levels and layers, unless they are to be `whole`. Weights come
from a fixed seed, so two calls return equal models. A family that is new to `turpentine.models.families` gets a line
in TOYS, and every contract then holds on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from turpentine.models import Model
from turpentine.testing.toy_parts import LENGTH, WORDS, kl_autoencoder, spelt_out

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def tiny_sd1(*, whole: bool = False) -> StableDiffusionPipeline:
    """Return a tiny Stable Diffusion 1: ε-prediction, one text encoder.

    Args:
        whole: With the levels and layers of the real one, 16 cross-attention modules; otherwise with two levels of one
            layer, 4 modules, which draws three times as fast.
    """
    return _pipeline("epsilon", **_unet(whole))


def tiny_sd2_v(*, whole: bool = False) -> StableDiffusionPipeline:
    """Return a tiny Stable Diffusion 2 as at 768 px: v-prediction, heads of one width, linear projections.

    Args:
        whole: As in `tiny_sd1`.
    """
    unet = _unet(whole)
    heads = [channels // 8 for channels in unet["block_out_channels"]]
    return _pipeline("v_prediction", **{**unet, "attention_head_dim": heads, "use_linear_projection": True})


def tiny_sdxl(*, whole: bool = False) -> StableDiffusionXLPipeline:
    """Return a tiny SDXL: three levels, transformers of several blocks, two text encoders, pooled text, time ids.

    Args:
        whole: With two layers a level, as in the real one; otherwise with one.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return StableDiffusionXLPipeline(
            vae=kl_autoencoder(),
            text_encoder=CLIPTextModel(_text(16)).eval(),
            text_encoder_2=CLIPTextModelWithProjection(_text(24)).eval(),
            tokenizer=tiny_tokenizer(),
            tokenizer_2=tiny_tokenizer(),
            unet=UNet2DConditionModel(**{**_UNET_XL, "layers_per_block": 2 if whole else 1}).eval(),
            scheduler=spelt_out(EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading")),
            add_watermarker=False,
        )


TOYS: Mapping[str, Callable[[], Any]] = {"sd1": tiny_sd1, "sd2": tiny_sd2_v, "sdxl": tiny_sdxl}
"""A pipeline of each family that methods and instruments must work on: SD 1, SD 2 with v-prediction, and SDXL."""


def tiny_sd3(*, t5: bool = True, whole: bool = False) -> Any:
    """Return a tiny Stable Diffusion 3: two joint blocks, two CLIP text encoders, a T5, a shifted straight line.

    Args:
        t5: With the third text encoder, which the pipeline may be without.
        whole: With attention of the picture to itself in the first block, as 3.5-medium has.
    """
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline  # which takes long

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vae = kl_autoencoder()
        vae.register_to_config(shift_factor=0.25)
        return StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(**_SD3, dual_attention_layers=(0,) if whole else ()).eval(),
            scheduler=spelt_out(FlowMatchEulerDiscreteScheduler(shift=3.0)),
            vae=vae,
            text_encoder=CLIPTextModelWithProjection(_text(16)).eval(),
            tokenizer=tiny_tokenizer(),
            text_encoder_2=CLIPTextModelWithProjection(_text(24)).eval(),
            tokenizer_2=tiny_tokenizer(),
            text_encoder_3=_t5(48) if t5 else None,
            tokenizer_3=tiny_t5_tokenizer() if t5 else None,
        )


def tiny_pixart(*, alpha: bool = False, sample_size: int = 8) -> Any:
    """Return a tiny PixArt-Σ: two blocks with cross-attention, a T5, a prediction of the variance beside that of ε.

    Args:
        alpha: PixArt-α instead, which reads the picture's size where `sample_size` is 128.
        sample_size: Of the native latent.
    """
    from diffusers import PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel  # which take long

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return (PixArtAlphaPipeline if alpha else PixArtSigmaPipeline)(
            transformer=PixArtTransformer2DModel(**_PIXART, sample_size=sample_size).eval(),
            scheduler=spelt_out(DPMSolverMultistepScheduler(**_LINEAR)),
            vae=kl_autoencoder(),
            text_encoder=_t5(24),
            tokenizer=tiny_t5_tokenizer(),
        )


def tiny_flux(*, distilled: bool = True) -> Any:
    """Return a tiny FLUX.1: a double and a single block, a CLIP, a T5, and a shift that hangs on the picture's size.

    Args:
        distilled: With a guidance of its own and that shift, as dev; otherwise without either, as schnell.
    """
    from diffusers import FluxPipeline, FluxTransformer2DModel  # which take long

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vae = kl_autoencoder()
        vae.register_to_config(shift_factor=0.25)
        shift: dict[str, Any] = {"shift": 3.0, "use_dynamic_shifting": True} if distilled else {"shift": 1.0}
        return FluxPipeline(
            transformer=FluxTransformer2DModel(**_FLUX, guidance_embeds=distilled).eval(),
            scheduler=spelt_out(FlowMatchEulerDiscreteScheduler(**shift)),
            vae=vae,
            text_encoder=CLIPTextModel(_text(16)).eval(),
            tokenizer=tiny_tokenizer(),
            text_encoder_2=_t5(24),
            tokenizer_2=tiny_t5_tokenizer(),
        )


def tiny_flux_2() -> Any:
    """Return a tiny FLUX.2 klein: a double and a single block, a Qwen3 of four layers with its chat."""
    from turpentine.testing.language_toys import flux_2_pipeline  # which takes long

    return flux_2_pipeline()


def tiny_flux_2_dev(*, side: str = "left") -> Any:
    """Return a tiny FLUX.2 dev: the same blocks with a guidance of their own, a Mistral 3 of four layers with its chat.

    Args:
        side: On which the tokenizer pads.
    """
    from turpentine.testing.mistral_toy import flux_2_dev_pipeline  # which takes long

    return flux_2_dev_pipeline(side)


def tiny_sana() -> Any:
    """Return a tiny SANA: two blocks with cross-attention, a Gemma 2 with an instruction, DC-AE, DPM on a line."""
    from turpentine.testing.language_toys import sana_pipeline  # which takes long

    return sana_pipeline()


def tiny_qwen(*, terminal: float | None = None) -> Any:
    """Return a tiny Qwen-Image: two joint blocks, a Qwen2.5-VL with its chat, an autoencoder of films.

    Args:
        terminal: The schedule's last σ before 0, to which the real one, with 0.02, is stretched; it has no single step.
    """
    from turpentine.testing.language_toys import qwen_pipeline  # which takes long

    return qwen_pipeline(terminal)


def tiny_z() -> Any:
    """Return a tiny Z-Image: two blocks of one stream, a refiner of each part, a Qwen3 with its chat."""
    from turpentine.testing.language_toys import z_pipeline  # which takes long

    return z_pipeline()


TRANSFORMERS: Mapping[str, Callable[[], Any]] = {
    "sd3": tiny_sd3,
    "flux": tiny_flux,
    "flux2": tiny_flux_2,
    "flux2-dev": tiny_flux_2_dev,
    "pixart": tiny_pixart,
    "sana": tiny_sana,
    "qwen": tiny_qwen,
    "z": tiny_z,
}
"""A pipeline of each family whose denoiser is a transformer; not everything runs on them."""


def toy(name: str) -> Model:
    """Return a fresh tiny model of a family in TOYS or TRANSFORMERS, with the family's name there as its own."""
    return Model({**TOYS, **TRANSFORMERS}[name](), name)


def tiny_t5_tokenizer() -> T5TokenizerFast:
    """Return a unigram tokenizer with a token for each of WORDS and for each lower case letter, as T5's are made."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = [(f"▁{word}", -2.0) for word in dict.fromkeys(WORDS)]
    letters = [(letter, -8.0) for letter in ("▁", *_LETTERS)]
    own = {piece for piece, _ in words}
    vocab = [*special, *words, *((piece, score) for piece, score in letters if piece not in own)]
    tokenizer = T5TokenizerFast(vocab=vocab, extra_ids=0)
    tokenizer.model_max_length = LENGTH
    return tokenizer


def tiny_tokenizer() -> CLIPTokenizer:
    """Return a byte-pair tokenizer with a token for each of WORDS; other words of lower case letters take several."""
    vocabulary = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)]
    merges: dict[str, None] = {}
    for word in WORDS:
        piece, *rest = [*word[:-1], f"{word[-1]}</w>"]
        for letter in rest:
            merges[f"{piece} {letter}"] = None
            piece += letter
            vocabulary.append(piece)
    tokens = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(tokens)}
    pairs = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab=ids, merges=pairs, model_max_length=LENGTH)


_SD3: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 48,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 16 + 24,
    "pos_embed_max_size": 8,
    "qk_norm": "rms_norm",
}

_FLUX: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 16,
    "axes_dims_rope": (2, 2, 4),
}

_PIXART: dict[str, Any] = {
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 3,
    "cross_attention_dim": 24,
    "caption_channels": 24,
}

_LINEAR: dict[str, Any] = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}

_BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}

_UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "cross_attention_dim": 16,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}

_UNET_XL: dict[str, Any] = {
    **_UNET,
    "block_out_channels": (8, 16, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 3],
    "attention_head_dim": [1, 2, 4],
    "use_linear_projection": True,
    "cross_attention_dim": 16 + 24,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 6 * 4 + 24,
}


def _unet(whole: bool) -> dict[str, Any]:
    """Return the configuration of a UNet with cross-attention at all levels but the lowest."""
    crossed = 3 if whole else 1
    return {
        **_UNET,
        "block_out_channels": (8, 16, 32, 32) if whole else (8, 16),
        "layers_per_block": 2 if whole else 1,
        "down_block_types": ("CrossAttnDownBlock2D",) * crossed + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * crossed,
    }


def _pipeline(prediction: str, **unet: Any) -> StableDiffusionPipeline:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return StableDiffusionPipeline(
            vae=kl_autoencoder(),
            text_encoder=CLIPTextModel(_text(16)).eval(),
            tokenizer=tiny_tokenizer(),
            unet=UNet2DConditionModel(**unet).eval(),
            scheduler=spelt_out(
                DDIMScheduler(**_BETAS, prediction_type=prediction, clip_sample=False, set_alpha_to_one=False)
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def _text(width: int) -> CLIPTextConfig:
    tokenizer = tiny_tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _t5(width: int) -> T5EncoderModel:
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 2 * width, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(tiny_t5_tokenizer()), **sizes, feed_forward_proj="gated-gelu")
    return T5EncoderModel(config).eval()
