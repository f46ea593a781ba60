"""Tiny random pipelines whose text encoder is a language model, built like the real ones: SANA."""

from __future__ import annotations

from string import printable
from typing import Any

import torch
from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
from tokenizers.processors import TemplateProcessing
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

from turpentine.models.families.sana import instruction
from turpentine.testing.toys import WORDS, spelt_out

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
