"""How far a picture is from the unedited model's, as a network sees it: LPIPS on named features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import polars as pl
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.judges.base import Column, one_for_each
from turpentine.judges.feature_maps import Maps
from turpentine.judges.features import Extractor, extractor
from turpentine.judges.network import NetworkJudge
from turpentine.judges.towers import CLIP

_BATCH = 8  # pictures at a time: the layers of a large network take a hundred times their memory


@dataclass(frozen=True, eq=False)
class Distance(NetworkJudge[Extractor]):
    """d(x, y) = Σ_l mean over places of ‖x̂_l − ŷ_l‖², with each layer's channels scaled to unit length at each place.

    The form of LPIPS (Zhang et al. 2018, arXiv 1801.03924, equation 1) with all weights 1, on the layers of a named
    network. Papers report LPIPS on AlexNet with learned weights; those numbers have another scale.

    Args:
        network: Whose layers, a name of `features.NETWORKS`.
        model: Folder or hub id, where the network is "clip" or "classifier".
        column: Name of the distances, where two such judges stand side by side.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures.

    Example:
        >>> Distance().columns["distance"].direction
        'lower'
    """

    name: ClassVar[str] = "distance"
    needs: ClassVar[frozenset[str]] = frozenset({"reference"})
    code: ClassVar[str] = "1"
    """Raise it with any change here that could give another score."""

    full_size: ClassVar[Mapping[str, Any]] = {"network": "clip", "model": CLIP}
    """Settings for pictures of other models than the embedded one."""

    network: str = "emoji"
    model: str | None = None
    column: str = "distance"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._network  # whose settings are checked; nothing is loaded

    @property
    def columns(self) -> Mapping[str, Column]:
        """The distance, 0 for the same picture."""
        return {self.column: Column(0.0, inf, "lower")}

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """Compare each picture with its reference.

        Args:
            images: Pictures of the edited model.
            prompts: Not used.
            references: The unedited model's picture for each, of the same size.

        Returns:
            A row for each picture: the distance.

        Raises:
            BadArgument: There is not one reference for each picture, or one is of another size.
        """
        others = one_for_each(self.name, "reference", references, images)
        for image, other in zip(images, others, strict=True):
            if image.size != other.size:
                raise BadArgument(f"A picture of {image.size} px has a reference of {other.size} px: draw both alike.")
        starts = range(0, len(images), _BATCH)
        parts = [self._distances(images[start : start + _BATCH], others[start : start + _BATCH]) for start in starts]
        return pl.DataFrame({self.column: [d for part in parts for d in part]}, schema={self.column: pl.Float64})

    def _distances(self, images: Sequence[Image.Image], others: Sequence[Image.Image]) -> list[float]:
        both = distance(self._network.maps(images), self._network.maps(others))
        return [float(d) for d in both]

    def make_network(self) -> Extractor:
        """Return the network whose layers are compared; nothing is read yet."""
        return extractor(self.network, self.model, self.commit, self.device, self.preprocessing)


def distance(x: Maps, y: Maps) -> Float[Tensor, " picture"]:
    """Return the distances of pictures by the maps of their layers, in fp64; see `Distance`."""
    layers = [(_unit(a) - _unit(b)).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(x, y, strict=True)]
    return torch.stack(layers).sum(dim=0)


def _unit(layer: Float[Tensor, "picture channel height width"]) -> Float[Tensor, "picture channel height width"]:
    """Scale channels to unit length at each place; the small number is that of LPIPS."""
    layer = layer.double()
    length: Tensor = torch.linalg.vector_norm(layer, dim=1, keepdim=True)
    return layer / (length + 1e-10)
