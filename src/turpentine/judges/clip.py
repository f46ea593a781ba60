"""The CLIP score: how much of its prompt a picture shows, to an image tower and a text tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import polars as pl
from PIL import Image

from turpentine.judges.base import Column, told
from turpentine.judges.towers import Towers, towers

REVISION = "1"
"""Of the code here; raise it with any change that could give another score."""


@dataclass(frozen=True, eq=False)
class ClipScore:
    """100 · cos(picture, prompt), of the towers' vectors: −100 to 100, as tables of erasures print it.

    Hessel et al. (2021, arXiv 2104.08718) write 2.5 · max(cos, 0) instead. Numbers of two models have no common scale.

    model: "emoji", the embedded world's towers; or a CLIP model's folder or hub id. Papers on erasing take
        "openai/clip-vit-base-patch32". commit: of the hub's repository. device: by default CUDA if there is one.
    preprocessing: changes to what the model's config says of pictures; none for "emoji".
    column: what the scores are called, where two such judges stand side by side.
    """

    name: ClassVar[str] = "clip"
    needs: ClassVar[frozenset[str]] = frozenset({"prompt"})

    model: str = "emoji"
    commit: str | None = None
    device: str | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    column: str = "clip"

    @property
    def revision(self) -> str:
        """SHA-256 over the towers' weights and the revisions of the code."""
        return f"{REVISION} {self._towers.revision}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The towers, and what is done to pictures before they see them."""
        return self._towers.settings

    @property
    def columns(self) -> Mapping[str, Column]:
        """The score."""
        return {self.column: Column(-100.0, 100.0, "higher")}

    @property
    def download(self) -> str | None:
        """What must be fetched first."""
        return self._towers.download

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """A row for each picture: the score. Raises BadArgument without prompts."""
        asked = told(self.name, "prompt", prompts, images)
        found = [] if not images else self._scores(images, asked)
        return pl.DataFrame({self.column: found}, schema={self.column: pl.Float64})

    def _scores(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        cosines = (self._towers.vectors(images).double() * self._towers.of_texts(prompts).double()).sum(dim=1)
        return [float(value) for value in 100 * cosines]

    @cached_property
    def _towers(self) -> Towers:
        return towers(self.model, self.commit, self.device, self.preprocessing)
