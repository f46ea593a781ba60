"""A tiny random pipeline like FLUX.2 dev, whose text encoder is a Mistral 3 with a processor of pictures and texts."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import Flux2Pipeline
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import (
    LlavaProcessor,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessorPil,
    PreTrainedTokenizerFast,
)

from turpentine.testing.language_toys import byte_pairs, flux_2_networks
from turpentine.testing.toy_parts import WORDS

_SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
_CONTROL = ["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"]

_CHAT = (
    "{{ bos_token }}{% for message in messages %}{% set text = message.content[0].text %}"
    "{% if message.role == 'system' %}[SYSTEM_PROMPT]{{ text }}[/SYSTEM_PROMPT]{% else %}[INST]{{ text }}[/INST]"
    "{% endif %}{% endfor %}"
)


def flux_2_dev_pipeline(side: str) -> Flux2Pipeline:
    """Return the pipeline of `turpentine.testing.toys.tiny_flux_2_dev`."""
    processor = mistral_processor(side)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        networks = flux_2_networks(guidance_embeds=True)
        return Flux2Pipeline(**networks, text_encoder=_mistral(8, processor.tokenizer), tokenizer=processor)


def mistral_processor(side: str) -> LlavaProcessor:
    """Return a processor that reads chats as FLUX.2 dev's does, which is a PixtralProcessor and needs torchvision."""
    images: Any = PixtralImageProcessorPil(patch_size={"height": 4, "width": 4}, size={"longest_edge": 8})
    tokenizer = tiny_mistral_tokenizer(side)
    return LlavaProcessor(images, tokenizer, patch_size=4, image_token="[IMG]", chat_template=_CHAT)


def tiny_mistral_tokenizer(side: str) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with a token for each of WORDS, and of the system message's, after a space."""
    inside = [f"Ġ{word.strip('.,')}" for word in [*WORDS, *SYSTEM_MESSAGE.split()]]
    vocabulary, merges = byte_pairs(inside, _SPECIAL)
    own = Tokenizer(BPE(vocabulary, merges))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    own.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    names = dict(zip(("unk_token", "bos_token", "eos_token", "pad_token"), _SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, padding_side=side, **names)
    tokenizer.add_tokens(_CONTROL, special_tokens=True)
    return tokenizer


def _mistral(width: int, tokenizer: PreTrainedTokenizerFast) -> Mistral3ForConditionalGeneration:
    sizes = {"hidden_size": width, "head_dim": 8, "intermediate_size": width, "num_attention_heads": 1}
    text = {"model_type": "mistral", "vocab_size": len(tokenizer), "num_hidden_layers": 4, "num_key_value_heads": 1}
    vision = {"model_type": "pixtral", "num_hidden_layers": 1, "image_size": 8, "patch_size": 4}
    config = Mistral3Config(
        text_config={**text, **sizes},
        vision_config={**vision, **sizes},
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    return Mistral3ForConditionalGeneration(config).eval()
