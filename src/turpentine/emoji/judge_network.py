"""The emoji world's judge: classifies a picture's object (or none), style and background colour.

A `SmallCNN` trained on renders alone (and on their autoencoder round trips), on no picture that the diffusion model
generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from turpentine.core.random_state import preserved_rng
from turpentine.emoji import WEIGHTS
from turpentine.emoji.vision import SmallCNN, images_to_tensor
from turpentine.emoji.world import COLOURS, OBJECTS, SIZE, STYLES, TINTS

NONE = "none"
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "object": (*OBJECTS, NONE),
    "style": STYLES,
    "colour": tuple(COLOURS),
}
"""The labels of each attribute, in the order of the probabilities' columns."""

LARGER_ANSWERS: Mapping[str, tuple[str, ...]] = {**ANSWERS, "tint": (*TINTS, NONE)}
"""The same in the larger world, where an object can have a colour of its own."""

FILE = "judge.safetensors"


class JudgeNet(nn.Module):
    """The network, and a temperature for each attribute that calibrates its probabilities on held-out renders.

    Args:
        answers: The labels of each attribute.
    """

    log_temperature: Tensor

    def __init__(self, answers: Mapping[str, tuple[str, ...]] = ANSWERS) -> None:
        super().__init__()
        self.answers = answers
        self.network = SmallCNN(sum(len(labels) for labels in answers.values()))
        self.register_buffer("log_temperature", torch.zeros(len(answers)))

    def logits(self, x: Float[Tensor, "batch 3 height width"]) -> dict[str, Float[Tensor, "batch answers"]]:
        """Return uncalibrated logits of each attribute for pictures in [−1, 1]."""
        if x.shape[-1] != SIZE:
            x = F.adaptive_avg_pool2d(x, SIZE)
        parts = self.network(x).split([len(labels) for labels in self.answers.values()], dim=1)
        return dict(zip(self.answers, parts, strict=True))

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Image.Image]) -> dict[str, Float[Tensor, "batch answers"]]:
        """Return calibrated probabilities of each attribute's labels: a row an image, columns as in `answers`."""
        batches = [images[i : i + 128] for i in range(0, len(images), 128)]
        logits = [self.logits(images_to_tensor(batch, SIZE)) for batch in batches]
        temperature = dict(zip(self.answers, self.log_temperature.exp(), strict=True))
        return {a: (torch.cat([batch[a] for batch in logits]) / temperature[a]).softmax(-1) for a in self.answers}


def weights_path() -> Path:
    """Return the path of the shipped judge's weights."""
    return WEIGHTS / "judge" / FILE


def load_judge(path: Path | None = None) -> JudgeNet:
    """Load the shipped judge, or the one in the file `path`."""
    weights = load_file(path or weights_path())
    larger = len(weights["log_temperature"]) == len(LARGER_ANSWERS)
    with preserved_rng():
        judge = JudgeNet(LARGER_ANSWERS if larger else ANSWERS)
    judge.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return judge.eval()
