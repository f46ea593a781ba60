"""Towers that map a picture and a text to vectors of one space: the emoji world's own, and CLIP's by hub id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from turpentine.core.errors import ModelNotFound
from turpentine.emoji import WEIGHTS, WORLD
from turpentine.emoji.towers import FILE, load_towers
from turpentine.emoji.towers import Towers as EmojiNetworks
from turpentine.emoji.vision import images_to_tensor
from turpentine.emoji.world import SIZE
from turpentine.judges.feature_maps import Maps, as_maps, cnn_maps, joined
from turpentine.judges.hub_network import BATCH, HubNetwork, read_tokenizer
from turpentine.judges.weights import weights_digest
from turpentine.models.identity import tokenizer_digest
from turpentine.models.loading.quiet_logging import quiet

CLIP = "openai/clip-vit-base-patch32"
"""The CLIP that papers on erasing take most."""

REVISION = "1"
"""Of the code here; raise it with any change that could give another vector."""

Vectors: TypeAlias = Float[Tensor, "picture feature"]


@dataclass(frozen=True, eq=False)
class EmojiTowers:
    """The towers of the embedded model; pictures are brought to its own size."""

    download: ClassVar[None] = None
    world: ClassVar[str] = WORLD

    @cached_property
    def revision(self) -> str:
        """SHA-256 over the revision of the code and all weights."""
        return weights_digest(f"emoji towers {REVISION}", self._networks)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The size that pictures are brought to."""
        return {"towers": "emoji", "size": SIZE}

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._networks.image.conv_out.out_features)

    @torch.inference_mode()
    def vectors(self, images: Sequence[Image.Image]) -> Vectors:
        """Return unit vectors of pictures."""
        parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        vectors = [self._networks.of_images(images_to_tensor(part, SIZE)) for part in parts]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.width)

    @torch.inference_mode()
    def of_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of captions."""
        return self._networks.of_text(list(texts)) if texts else torch.zeros(0, self.width)

    @torch.inference_mode()
    def maps(self, images: Sequence[Image.Image]) -> Maps:
        """Return the outputs of the residual blocks of the image tower."""
        return cnn_maps(self._networks.image, images_to_tensor(images, SIZE))

    @cached_property
    def _networks(self) -> EmojiNetworks:
        path = WEIGHTS / "towers" / FILE
        if not path.is_file():
            raise ModelNotFound(f"The towers' weights are not at {path}: install Turpentine anew.")
        with quiet():
            return load_towers(WEIGHTS)


@dataclass(frozen=True, eq=False)
class ClipTowers(HubNetwork):
    """The towers of a CLIP model (Radford et al. 2021, arXiv 2103.00020)."""

    transformer: ClassVar[Any] = CLIPModel
    code: ClassVar[str] = f"clip towers {REVISION}"
    kind: ClassVar[str] = "towers"

    @property
    def facts(self) -> dict[str, Any]:
        """As of every network, and how texts are read."""
        return {**super().facts, "tokenizer": tokenizer_digest(self._tokenizer)}

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._network.config.projection_dim)

    @torch.inference_mode()
    def vectors(self, images: Sequence[Image.Image]) -> Vectors:
        """Return unit vectors of pictures."""
        read = self._batches(images)
        vectors = [self._network.visual_projection(self._network.vision_model(x).pooler_output) for x in read]
        return F.normalize(torch.cat(vectors), dim=-1).cpu() if vectors else torch.zeros(0, self.width)

    @torch.inference_mode()
    def of_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of texts."""
        vectors = [self._text(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
        return F.normalize(torch.cat(vectors), dim=-1).cpu() if vectors else torch.zeros(0, self.width)

    @torch.inference_mode()
    def maps(self, images: Sequence[Image.Image]) -> Maps:
        """Return the outputs of the blocks of the image tower, without the class token."""
        read = self._batches(images)
        return joined([as_maps(self._network.vision_model(x, output_hidden_states=True).hidden_states) for x in read])

    def _text(self, texts: Sequence[str]) -> Vectors:
        length = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        hidden = self._network.text_model(tokens.input_ids.to(self._network.device)).pooler_output
        vectors: Vectors = self._network.text_projection(hidden)
        return vectors

    @cached_property
    def _tokenizer(self) -> Any:
        return read_tokenizer(CLIPTokenizer, self.model, self.commit)


Towers: TypeAlias = EmojiTowers | ClipTowers


def towers(
    model: str, commit: str | None = None, device: str | None = None, preprocessing: Mapping[str, Any] | None = None
) -> Towers:
    """Return towers; nothing is read yet.

    Args:
        model: "emoji" for the embedded world's; else a CLIP model's folder or hub id.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures.
    """
    return EmojiTowers() if model == "emoji" else ClipTowers(model, commit, device, preprocessing or {})
