"""The CLIP score: how well a picture fits its prompt, by the cosine of an image tower's and a text tower's vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
from PIL import Image

from turpentine.judges.base import Column, one_for_each
from turpentine.judges.network import NetworkJudge
from turpentine.judges.towers import CLIP, Towers, towers


@dataclass(frozen=True, eq=False)
class ClipScore(NetworkJudge[Towers]):
    """100 · cos(picture, prompt), of the towers' vectors: −100 to 100, as tables of erasures print it.

    Hessel et al. (2021, arXiv 2104.08718) write 2.5 · max(cos, 0) instead. Numbers of two models have no common scale.

    Args:
        model: "emoji", the embedded world's towers; or a CLIP model's folder or hub id. Papers on erasing take
            "openai/clip-vit-base-patch32".
        column: Name of the scores, where two such judges stand side by side.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures; none for "emoji".

    Example:
        >>> ClipScore(column="likeness").columns["likeness"].direction
        'higher'
    """

    name: ClassVar[str] = "clip"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt"})
    code: ClassVar[str] = "1"
    """Raise it with any change here that could give another score."""
    full_size: ClassVar[Mapping[str, Any]] = {"model": CLIP}
    """Settings for pictures of other models than the embedded one: the network whose score papers on erasing take."""

    model: str = "emoji"
    column: str = "clip"

    @property
    def columns(self) -> Mapping[str, Column]:
        """The score."""
        return {self.column: Column(-100.0, 100.0, "higher")}

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """Score each picture against its prompt.

        Args:
            images: Pictures of any size.
            prompts: The prompt of each picture.
            references: Not used.

        Returns:
            A row for each picture: the score.

        Raises:
            BadArgument: There is not one prompt for each picture.
        """
        texts = one_for_each(self.name, "prompt", prompts, images)
        scores = self._scores(images, texts) if images else []
        return pl.DataFrame({self.column: scores}, schema={self.column: pl.Float64})

    def _scores(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        cosines = (self._network.vectors(images).double() * self._network.of_texts(prompts).double()).sum(dim=1)
        return [float(value) for value in 100 * cosines]

    def make_network(self) -> Towers:
        """Return the towers of `model`; nothing is read yet."""
        return towers(self.model, self.commit, self.device, self.preprocessing)
