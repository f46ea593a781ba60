"""From prompts to conditioning, one text encoder or two, and the words that a tokenizer does not know."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from turpentine.models.conditioning import Conditioning


def encode_prompts(pipeline: Any, prompts: Sequence[str], length: int) -> Conditioning:
    """Stable Diffusion 1.x and 2.x: the one encoder's last states, after its final norm."""
    return Conditioning(_states(pipeline, "", prompts, length).last_hidden_state)


def encode_prompts_xl(pipeline: Any, prompts: Sequence[str], length: int, size: tuple[int, int]) -> Conditioning:
    """SDXL: the last but one states of both encoders side by side, the second's pooled text, and the sizes.

    size: height and width of the picture to draw, in pixels; no crop. Where the pipeline says that an empty prompt is
    all zeros (`force_zeros_for_empty_prompt`, as SDXL was trained), it is.
    """
    first, second = (_states(pipeline, suffix, prompts, length) for suffix in ("", "_2"))
    hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    pooled = second.text_embeds
    if pipeline.config.get("force_zeros_for_empty_prompt"):
        spoken = torch.tensor([prompt != "" for prompt in prompts], dtype=hidden.dtype, device=hidden.device)
        hidden, pooled = hidden * spoken[:, None, None], pooled * spoken[:, None]
    time_ids = torch.tensor([[*size, 0, 0, *size]] * len(prompts), dtype=hidden.dtype, device=hidden.device)
    return Conditioning(hidden, pooled, time_ids)


def _states(pipeline: Any, suffix: str, prompts: Sequence[str], length: int) -> Any:
    encoder = getattr(pipeline, f"text_encoder{suffix}")
    tokens = tokenize(getattr(pipeline, f"tokenizer{suffix}"), prompts, length)
    return encoder(tokens.to(encoder.device), output_hidden_states=True)


def tokenize(tokenizer: Any, prompts: Sequence[str], length: int) -> Int[Tensor, "batch token"]:
    """Token ids, padded and cut to `length`; a prompt that is cut is warned of."""
    for prompt in prompts:
        used = len(tokenizer.tokenize(prompt)) + 2  # with start and end
        if used > length:
            warnings.warn(f"The prompt {prompt!r} has {used} tokens: the model reads the first {length}.", stacklevel=3)
    padded = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: Tensor = padded.input_ids
    return ids


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """The words of `text`, in order, each once, that the tokenizer has no piece of any size for."""
    return [word for word in dict.fromkeys(text.split()) if _is_unknown(tokenizer, word)]


def _is_unknown(tokenizer: Any, word: str) -> bool:
    """A token for unknown text, or a word of which at least half the tokens are single characters.

    A byte-pair vocabulary can spell any word letter by letter; it has longer pieces of the words that it was made from.
    """
    pieces = tokenizer.tokenize(word)
    if tokenizer.unk_token in pieces:
        return True
    letters = [piece for piece in pieces if len(piece.removesuffix("</w>")) == 1]
    return len(pieces) > 1 and 2 * len(letters) >= len(pieces)
