"""Tiny random networks, saved as the hub has them, and pictures to show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tiny import LENGTH, tiny_tokenizer
from transformers import CLIPConfig, CLIPModel, ResNetConfig, ResNetForImageClassification
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

CLASSES = ["church, church building", "chain saw, chainsaw", "crane"]


def pictures(count: int, width: int = 32, height: int = 32, seed: int = 0) -> list[Image.Image]:
    """Smooth pictures of any size, all different."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in small]


def saved_classifier(folder: Path, seed: int = 0) -> str:
    """A ResNet of three classes for pictures of 32 px, cut from 36."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        names = dict(enumerate(CLASSES))
        config = ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3, id2label=names
        )
        network = ResNetForImageClassification(config).eval()
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875)
    _make_answers_differ(network, processor(pictures(32, seed=9), return_tensors="pt").pixel_values)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def saved_clip(folder: Path) -> str:
    """A CLIP model of 12 features for pictures of 32 px in 16 patches."""
    tokenizer = tiny_tokenizer()
    tokens = {key: getattr(tokenizer, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**shape, **tokens, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    vision = {**shape, "image_size": 32, "patch_size": 8}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=crop).save_pretrained(folder)
    return str(folder)


def _make_answers_differ(network: ResNetForImageClassification, x: torch.Tensor) -> None:
    """Untrained features are much alike: what they have in common is taken off, and the rest is made large."""
    last = network.classifier[-1]
    with torch.no_grad():
        features = network.resnet(x).pooler_output.flatten(1)
        last.weight.normal_(generator=torch.Generator().manual_seed(0))
        last.weight.div_(2 * features.std(dim=0) + 1e-3)
        last.bias.copy_(-last.weight @ features.mean(dim=0))
