"""How far a picture's style is from the unedited model's, as a network sees it: the style loss on named features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.judges.distance import Distance
from turpentine.judges.feature_maps import Maps


@dataclass(frozen=True, eq=False)
class StyleLoss(Distance):
    """Σ_l mean over pairs of channels of (G(x)_l − G(y)_l)², with G_l = F·Fᵀ/(C·H·W) of the C × HW map F of layer l.

    Gram matrices hold which channels go together and not where (Gatys et al. 2016), so that two pictures of one style
    are near whatever they show. ESD's authors judge erased styles so, on layers of VGG-19; here the layers are those
    that `Distance` has, and numbers have another scale. Settings are that class's.

    Args:
        column: Name of the losses.

    Example:
        >>> StyleLoss().columns["style_loss"].direction
        'lower'
    """

    name: ClassVar[str] = "style loss"
    code: ClassVar[str] = "1"
    column: str = "style_loss"

    def _distances(self, images: Sequence[Image.Image], others: Sequence[Image.Image]) -> list[float]:
        return [float(d) for d in style_loss(self._network.maps(images), self._network.maps(others))]


def style_loss(x: Maps, y: Maps) -> Float[Tensor, " picture"]:
    """Return the style losses of pictures by the maps of their layers, in fp64; see `StyleLoss`."""
    layers = [(_gram(a) - _gram(b)).square().mean(dim=(1, 2)) for a, b in zip(x, y, strict=True)]
    return torch.stack(layers).sum(dim=0)


def _gram(layer: Float[Tensor, "picture channel height width"]) -> Float[Tensor, "picture channel channel"]:
    flat = layer.double().flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])
