"""Tiny random pipelines whose text encoder is a language model, like SANA, FLUX.2 klein, Qwen-Image and Z-Image."""

from __future__ import annotations

from collections.abc import Sequence
from string import printable
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers.processors import TemplateProcessing
from transformers import (
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from turpentine.models.families.sana import instruction
from turpentine.testing.toy_parts import WORDS, kl_autoencoder, spelt_out

_SANA: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 3,
    "num_cross_attention_heads": 2,
    "cross_attention_head_dim": 12,
    "cross_attention_dim": 24,
    "caption_channels": 16,
}

_DC_AE: dict[str, Any] = {
    "latent_channels": 4,
    "attention_head_dim": 4,
    "encoder_block_out_channels": (4, 8, 8),
    "decoder_block_out_channels": (4, 8, 8),
    "encoder_layers_per_block": (1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1),
    "encoder_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"),
    "decoder_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"),
    "encoder_qkv_multiscales": ((), (), (5,)),
    "decoder_qkv_multiscales": ((), (), (5,)),
    "scaling_factor": 0.5,
}


def sana_pipeline() -> SanaPipeline:
    """Return the pipeline of `turpentine.testing.toys.tiny_sana`."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return SanaPipeline(
            transformer=SanaTransformer2DModel(**_SANA).eval(),
            scheduler=spelt_out(
                DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
            ),
            vae=AutoencoderDC(**_DC_AE).eval(),
            text_encoder=_gemma(16),
            tokenizer=tiny_gemma_tokenizer(),
        )


def tiny_gemma_tokenizer() -> GemmaTokenizer:
    """Return a byte-pair tokenizer with a token for each of WORDS, and of the instruction's words, after a space."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *printable]
    merges: dict[tuple[str, str], None] = {}
    for word in dict.fromkeys([*WORDS, *instruction().split()]):
        piece = "▁"
        for letter in word:
            merges[piece, letter] = None
            piece += letter
            pieces.append(piece)
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=list(merges))
    start = ("<bos>", vocabulary["<bos>"])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[start])
    return tokenizer


def _gemma(width: int) -> Gemma2Model:
    sizes = {"hidden_size": width, "head_dim": 8, "intermediate_size": 2 * width, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "query_pre_attn_scalar": 8}
    return Gemma2Model(Gemma2Config(vocab_size=len(tiny_gemma_tokenizer()), **sizes, **heads)).eval()


_QWEN: dict[str, Any] = {
    "in_channels": 16,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 12,
    "num_attention_heads": 2,
    "joint_attention_dim": 16,
    "axes_dims_rope": (4, 4, 4),
}

_QWEN_SHIFT: dict[str, Any] = {
    "base_shift": 0.5,
    "max_shift": 0.9,
    "max_image_seq_len": 8192,
    "use_dynamic_shifting": True,
}
"""Of Qwen-Image's own scheduler, whose `shift_terminal` is 0.02."""

_NO_TOKENS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None}
"""A language model that writes nothing needs none, and its own are beyond a tiny vocabulary."""

_INSTRUCTION = (
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the "
    "objects and background:"
)


def qwen_pipeline(terminal: float | None) -> QwenImagePipeline:
    """Return the pipeline of `turpentine.testing.toys.tiny_qwen`."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vae = AutoencoderKLQwenImage(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 2, 2],
            num_res_blocks=1,
            temperal_downsample=[False, True],
            latents_mean=[0.1, 0.2, 0.3, -0.4],
            latents_std=[1.1, 1.2, 1.3, 1.4],
        )
        pipeline = QwenImagePipeline(
            transformer=QwenImageTransformer2DModel(**_QWEN).eval(),
            scheduler=spelt_out(FlowMatchEulerDiscreteScheduler(**_QWEN_SHIFT, shift_terminal=terminal)),
            vae=vae.eval(),
            text_encoder=_qwen_vl(16),
            tokenizer=tiny_qwen_tokenizer(),
        )
    pipeline.default_sample_size = 8
    return pipeline


def tiny_qwen_tokenizer() -> Qwen2Tokenizer:
    """Return a byte-level tokenizer with a token for each of WORDS, and of the instruction's words, after a space."""
    inside = [f"Ġ{word.strip(',:')}" for word in [*WORDS, *_INSTRUCTION.split()[1:]]]
    vocabulary, merges = byte_pairs([*inside, "Describe", "system", "user", "assistant"], ["<|endoftext|>"])
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    return tokenizer


def byte_pairs(words: Sequence[str], special: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the vocabulary, special tokens first, and the merges of a byte-level tokenizer with words as tokens."""
    pieces, merges = list(bytes_to_unicode().values()), dict[tuple[str, str], None]()
    for word in dict.fromkeys(words):
        for end in range(1, len(word)):
            merges[word[:end], word[end]] = None
            pieces.append(word[: end + 1])
    return {piece: index for index, piece in enumerate(dict.fromkeys([*special, *pieces]))}, list(merges)


def _qwen_vl(width: int) -> Qwen2_5_VLForConditionalGeneration:
    text = {
        "vocab_size": len(tiny_qwen_tokenizer()),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        **_NO_TOKENS,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    }
    vision = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": width}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)).eval()


_Z: dict[str, Any] = {
    "in_channels": 4,
    "dim": 24,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "cap_feat_dim": 16,
    "axes_dims": [4, 4, 4],
    "axes_lens": [1024, 64, 64],
}

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_THOUGHTLESS = "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
"""What Qwen3's own chat has where the answer is to begin without thoughts."""


def z_pipeline() -> ZImagePipeline:
    """Return the pipeline of `turpentine.testing.toys.tiny_z`."""
    tokenizer = tiny_qwen_tokenizer()
    tokenizer.chat_template = _CHAT
    sizes = {"hidden_size": 16, "head_dim": 8, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vae = kl_autoencoder()
        vae.register_to_config(shift_factor=0.25)
        transformer = ZImageTransformer2DModel(**_Z).eval()
        for pad in (transformer.x_pad_token, transformer.cap_pad_token):
            torch.nn.init.normal_(pad)
        return ZImagePipeline(
            transformer=transformer,
            scheduler=spelt_out(FlowMatchEulerDiscreteScheduler(shift=3.0)),
            vae=vae,
            text_encoder=Qwen3Model(Qwen3Config(vocab_size=len(tokenizer), **sizes, **heads, **_NO_TOKENS)).eval(),
            tokenizer=tokenizer,
        )


_FLUX_2: dict[str, Any] = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 3 * 8,
    "timestep_guidance_channels": 8,
    "axes_dims_rope": (2, 2, 2, 2),
}

_VAE_2: dict[str, Any] = {
    "block_out_channels": (8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "sample_size": 32,
}


def flux_2_pipeline() -> Flux2KleinPipeline:
    """Return the pipeline of `turpentine.testing.toys.tiny_flux_2`."""
    tokenizer = tiny_qwen_tokenizer()
    tokenizer.chat_template = _CHAT + _THOUGHTLESS
    sizes = {"hidden_size": 8, "head_dim": 8, "intermediate_size": 8, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "tie_word_embeddings": True}
    config = Qwen3Config(vocab_size=len(tokenizer), **sizes, **heads, **_NO_TOKENS)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Flux2KleinPipeline(
            **flux_2_networks(guidance_embeds=False), text_encoder=Qwen3ForCausalLM(config).eval(), tokenizer=tokenizer
        )


def flux_2_networks(*, guidance_embeds: bool) -> dict[str, Any]:
    """Return what the pipelines of FLUX.2 have in common."""
    vae = AutoencoderKLFlux2(**_VAE_2).eval()
    torch.nn.init.normal_(vae.bn.running_mean, std=0.1)
    torch.nn.init.uniform_(vae.bn.running_var, 0.5, 1.5)
    return {
        "transformer": Flux2Transformer2DModel(**_FLUX_2, guidance_embeds=guidance_embeds).eval(),
        "scheduler": spelt_out(FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)),
        "vae": vae,
    }
