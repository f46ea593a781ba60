"""The small convolutional network of the judge and of the image tower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from turpentine.core.imaging import as_seen


def to_tensor(
    pictures: Sequence[UInt8[np.ndarray, "height width 3"]] | UInt8[np.ndarray, "batch height width 3"],
) -> Float[Tensor, "batch 3 height width"]:
    """Convert sRGB arrays, 0–255, to a batch in [−1, 1]."""
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float() / 127.5 - 1


def images_to_tensor(images: Sequence[Image.Image], size: int) -> Float[Tensor, "batch 3 size size"]:
    """Convert PIL images to a batch in [−1, 1], resized (box filter) where they are not `size` px."""
    seen = map(as_seen, images)
    fitted = [i if i.size == (size, size) else i.resize((size, size), Image.Resampling.BOX) for i in seen]
    return to_tensor([np.asarray(i) for i in fitted])


class Residual(nn.Module):
    """Two normalised 3 × 3 convolutions with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x: Float[Tensor, "batch width height side"]) -> Float[Tensor, "batch width height side"]:
        """Return x plus the residual."""
        h = self.conv1(F.silu(self.norm1(x)))
        residual: Tensor = self.conv2(F.silu(self.norm2(h)))
        return x + residual


class SmallCNN(nn.Module):
    """A network from a picture of 32 px, or a multiple, to a vector.

    Args:
        out: Length of the vector.
        widths: Channels at a half, a quarter and an eighth of the side.
    """

    def __init__(self, out: int, widths: tuple[int, int, int] = (48, 96, 192)) -> None:
        super().__init__()
        a, b, c = widths
        self.conv_in = nn.Conv2d(3, a, 4, stride=2, padding=1)
        self.stages = nn.Sequential(
            Residual(a),
            nn.Conv2d(a, b, 2, stride=2),
            Residual(b),
            Residual(b),
            nn.Conv2d(b, c, 2, stride=2),
            Residual(c),
            Residual(c),
        )
        self.norm = nn.GroupNorm(8, c)
        self.conv_out = nn.Linear(2 * c, out)

    def features(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Return the last layer's input: each channel's mean and maximum over the picture."""
        h = F.silu(self.norm(self.stages(self.conv_in(x))))
        return torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch out"]:
        """Return the logits of pictures."""
        logits: Tensor = self.conv_out(self.features(x))
        return logits
