"""Judges that score pictures with a network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import polars as pl
from PIL import Image
from typing_extensions import Protocol, runtime_checkable

from turpentine.core.settings import Settings
from turpentine.judges.base import Column


@runtime_checkable
class Network(Protocol):
    """What a judge needs of its network; nothing is fetched or read before the revision is looked up."""

    @property
    def revision(self) -> str:
        """A text that differs whenever the code or the weights could give another score."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The network, and what is done to pictures before it sees them, in types of JSON."""
        ...

    @property
    def download(self) -> str | None:
        """What must be fetched first; None if all is here."""
        ...


SomeNetwork = TypeVar("SomeNetwork", bound=Network)


@dataclass(frozen=True, eq=False)
class NetworkJudge(Settings, Generic[SomeNetwork]):
    """A judge whose revision, settings and download are those of a network.

    A subclass names itself and its columns, says how its network is made, and turns what the network sees into rows:

        @dataclass(frozen=True, eq=False)
        class Brightest(NetworkJudge[ClipTowers]):
            name: ClassVar[str] = "brightest"
            columns: ClassVar[Mapping[str, Column]] = {"brightest": Column(0.0, 1.0)}

            def make_network(self) -> ClipTowers: ...
            def __call__(self, images, *, prompts=None, references=None) -> pl.DataFrame: ...

    Args:
        commit: Of the network's repository on the hub.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the network's config says of pictures, such as {"crop_pct": 1.0}.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    code: ClassVar[str] = ""
    """The revision of the judge's own code, where it has some beside the network's."""

    commit: str | None = field(default=None, kw_only=True)
    device: str | None = field(default=None, kw_only=True)
    preprocessing: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @abstractmethod
    def make_network(self) -> SomeNetwork:
        """Return the network; nothing is read for it yet.

        Raises:
            BadArgument: The settings fit no network.
        """

    @cached_property
    def _network(self) -> SomeNetwork:
        return self.make_network()

    @property
    def revision(self) -> str:
        """The revision of the code, and SHA-256 over the network's weights."""
        return f"{self.code} {self._network.revision}".lstrip()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The network, and what is done to pictures before it sees them."""
        return self._network.settings

    @property
    def download(self) -> str | None:
        """What must be fetched first."""
        return self._network.download

    @property
    def world(self) -> str | None:
        """The world whose pictures alone the network knows, None for any picture."""
        return getattr(self._network, "world", None)

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, Column]:
        """Its columns by name, in order."""

    @abstractmethod
    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """A row for each picture; see `Judge`."""
