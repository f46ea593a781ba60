"""Pictures as vectors, by named networks: the input of FID, CLIP-MMD and distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import polars as pl
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument, ModelNotFound, UnknownName
from turpentine.core.suggest import offer
from turpentine.emoji import WORLD
from turpentine.emoji.judge_network import JudgeNet, load_judge, weights_path
from turpentine.emoji.vision import images_to_tensor
from turpentine.emoji.world import SIZE
from turpentine.judges.base import LABEL, Column, PictureJudge
from turpentine.judges.feature_maps import Maps, cnn_maps
from turpentine.judges.hf_classifier import HubClassifier
from turpentine.judges.hub_network import BATCH
from turpentine.judges.network import NetworkJudge
from turpentine.judges.towers import CLIP, ClipTowers, EmojiTowers
from turpentine.judges.weights import weights_digest

REVISION = "1"
"""Of the code here; raise it with any change that could give another vector."""

NETWORKS: Mapping[str, str] = {
    "emoji": "the image tower of the embedded model, unit vectors",
    "emoji judge": "what the last layer of the embedded world's judge reads",
    "clip": "the image tower of a CLIP model, unit vectors",
    "classifier": "what the last layer of an image classifier reads",
}
"""The kinds of networks by name. The last two are of a model by folder or hub id."""


@dataclass(frozen=True, eq=False)
class JudgeFeatures:
    """The input of the last layer of the embedded world's judge: each channel's mean and maximum."""

    download: ClassVar[None] = None
    world: ClassVar[str] = WORLD

    @cached_property
    def revision(self) -> str:
        """SHA-256 over the revision of the code and all weights."""
        return weights_digest(f"judge features {REVISION}", self._judge)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The size that pictures are brought to."""
        return {"network": "emoji judge", "size": SIZE}

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._judge.network.conv_out.in_features

    @torch.inference_mode()
    def vectors(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture feature"]:
        """Return a vector for each picture."""
        parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        vectors = [self._judge.network.features(images_to_tensor(part, SIZE)) for part in parts]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.width)

    @torch.inference_mode()
    def maps(self, images: Sequence[Image.Image]) -> Maps:
        """Return the outputs of the residual blocks."""
        return cnn_maps(self._judge.network, images_to_tensor(images, SIZE))

    @cached_property
    def _judge(self) -> JudgeNet:
        if not weights_path().is_file():
            raise ModelNotFound(f"The judge's weights are not at {weights_path()}: install Turpentine anew.")
        return load_judge()


Extractor: TypeAlias = EmojiTowers | JudgeFeatures | ClipTowers | HubClassifier
"""A network that gives a vector of each picture by `vectors`, and what its layers see by `maps`."""


def extractor(
    network: str,
    model: str | None = None,
    commit: str | None = None,
    device: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> Extractor:
    """Return the network of a name; nothing is read yet.

    Args:
        network: A name of NETWORKS.
        model: Folder or hub id for "clip" and "classifier"; None for the others.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures.

    Raises:
        UnknownName: No network is called so.
        BadArgument: The network needs a model, or takes none.
    """
    if network not in NETWORKS:
        raise UnknownName(f"No features are called {network!r}: {offer(network, NETWORKS)}")
    if network in ("clip", "classifier"):
        if model is None:
            raise BadArgument(f"Features of {network} are of some model: give its folder or hub id as `model`.")
        cls = ClipTowers if network == "clip" else HubClassifier
        return cls(model, commit, device, preprocessing or {})
    if model is not None:
        raise BadArgument(f"Features of {network} are of the embedded world: leave the model {model!r} out.")
    return EmojiTowers() if network == "emoji" else JudgeFeatures()


@dataclass(frozen=True, eq=False)
class Features(PictureJudge, NetworkJudge[Extractor]):
    """Vectors of pictures, as a column for measures of whole sets; see `stats.set_distances`.

    Args:
        network: A name of NETWORKS.
        model: Folder or hub id, where the network is "clip" or "classifier".
        column: Name of the vectors, where two such judges stand side by side.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures.

    Example:
        >>> Features(column="vectors").columns["vectors"].is_number
        False
    """

    name: ClassVar[str] = "features"

    full_size: ClassVar[Mapping[str, Any]] = {"network": "clip", "model": CLIP}
    """Settings for pictures of other models than the embedded one."""

    network: str = "emoji"
    model: str | None = None
    column: str = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._network  # whose settings are checked; nothing is loaded

    @property
    def columns(self) -> Mapping[str, Column]:
        """The vectors, which have no range."""
        return {self.column: LABEL}

    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Compute each picture's vector.

        Args:
            images: Pictures of any size.

        Returns:
            A row for each picture: an array of fp32.
        """
        vectors = self._network.vectors(images).numpy()
        kind = pl.Array(pl.Float32, self._network.width)
        return pl.DataFrame([pl.Series(self.column, vectors, dtype=kind)])

    def make_network(self) -> Extractor:
        """Return the network that gives the vectors; nothing is read yet."""
        return extractor(self.network, self.model, self.commit, self.device, self.preprocessing)
