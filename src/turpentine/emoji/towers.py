"""The image and text towers of the emoji world, which embed captions and pictures together as CLIP does (Radford 2021).

The text tower is a `CLIPTextModel` and a projection, the image tower a `SmallCNN`. The text tower conditions
the denoiser; both together give the CLIP score.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from turpentine.core.random_state import preserved_rng
from turpentine.emoji.vision import SmallCNN

LENGTH = 32
"""Tokens of a caption, padded."""

FILE = "towers.safetensors"


class Towers(nn.Module):
    """The two towers and the temperature of their similarity."""

    def __init__(self, tokenizer: CLIPTokenizer, config: CLIPTextConfig) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.text = CLIPTextModelWithProjection(config)
        self.image = SmallCNN(config.projection_dim)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def tokens(self, captions: list[str]) -> Int[Tensor, "batch length"]:
        """Return token ids, padded to the full length."""
        return tokenized(self.tokenizer, captions).to(self.log_scale.device)

    def of_text(self, captions: list[str]) -> Float[Tensor, "batch features"]:
        """Return unit vectors of captions."""
        return self.of_tokens(self.tokens(captions))

    def of_tokens(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch features"]:
        """Return unit vectors of captions that are token ids already."""
        return F.normalize(self.text(tokens).text_embeds, dim=-1)

    def of_images(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Return unit vectors of pictures in [−1, 1]."""
        return F.normalize(self.image(x), dim=-1)


def tokenized(tokenizer: CLIPTokenizer, captions: list[str]) -> Int[Tensor, "batch length"]:
    """Return token ids, padded to the full length."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def text_config(tokenizer: CLIPTokenizer, width: int, layers: int, heads: int) -> CLIPTextConfig:
    """Return the text tower's configuration."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=LENGTH,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def load_towers(folder: Path) -> Towers:
    """Load the towers of a model folder: the pipeline's tokenizer and text encoder, and the weights in `towers`."""
    with preserved_rng():
        text = CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True, dtype=torch.float32)
        towers = Towers(CLIPTokenizer.from_pretrained(folder / "tokenizer"), text.config)
    own_weights = {key: value.float() for key, value in load_file(folder / "towers" / FILE).items()}
    text_weights = {f"text.text_model.{key}": value for key, value in text.state_dict().items()}
    towers.load_state_dict({**text_weights, **own_weights})
    return towers.eval()
