"""Every judge is under contract, and the contract finds each fault of a bad one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from judges.toys import saved_classifier, saved_clip

from turpentine.core.errors import BadArgument
from turpentine.core.plugins import plugins
from turpentine.judges import Column, EmojiJudge, Judge, PictureStatistics, judge
from turpentine.judges.base import one_for_each
from turpentine.testing.contracts import JudgeContract


class Made(JudgeContract):
    """A judge of ours by its name."""

    named: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    def judge(self) -> Judge:
        made = judge(self.named, **self.settings)
        assert made.name == self.named and made.download is None
        return made


class TestEmoji(Made):
    named = EmojiJudge.name


class TestEmojiUnseen(Made):
    named = "emoji-unseen"


class TestPictureStatistics(Made):
    named = PictureStatistics.name


class TestClip(Made):
    named = "clip"


class TestDistance(Made):
    named = "distance"


class TestFeatures(Made):
    named = "features"


class TestPixelChange(Made):
    named = "pixel change"


class TestStyleLoss(Made):
    named = "style loss"


class TestZeroShot(Made):
    named, settings = "zero-shot", {"labels": ["church", "dog"], "model": "emoji"}


class TestEmojiJudgeFeatures(Made):
    named, settings = "features", {"network": "emoji judge", "column": "seen"}


@pytest.mark.skipif(find_spec("nudenet") is None, reason="NudeNet is not installed")
class TestNudeNet(Made):
    named = "nudenet"


class TestClassifier(Made):
    named = "classifier"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        type(self).settings = {
            "model": _once(saved_classifier, tmp_path_factory),
            "labels": ["church", "chain saw", "crane"],
        }


class TestClipByFolder(Made):
    named = "clip"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        type(self).settings = {"model": _once(saved_clip, tmp_path_factory), "column": "other"}


_folders: dict[Any, str] = {}


def _once(save: Any, factory: pytest.TempPathFactory) -> str:
    if save not in _folders:
        _folders[save] = save(factory.mktemp("network"))
    return _folders[save]


def test_every_judge_is_under_contract() -> None:
    contracts = [each for each in vars(sys.modules[__name__]).values() if inspect.isclass(each)]
    tested = {each.named for each in contracts if issubclass(each, Made) and each is not Made}
    assert tested == {name for name, each in plugins("judge").items() if each.target.startswith("turpentine.")}


@dataclass(frozen=True)
class Brightness:
    """How bright a picture is, and whether that is light or dark."""

    name: ClassVar[str] = "brightness"
    revision: ClassVar[str] = "1"
    settings: ClassVar[Mapping[str, Any]] = {}
    needs: ClassVar[frozenset[str]] = frozenset({"prompt"})
    download: ClassVar[None] = None
    columns: ClassVar[Mapping[str, Column]] = {
        "brightness": Column(0.0, 1.0, "higher"),
        "shade": Column(labels=("dark", "light")),
    }

    def __call__(
        self,
        images: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Any] | None = None,
    ) -> pl.DataFrame:
        one_for_each(self.name, "prompt", prompts, images)
        return self.table([float(np.asarray(image).mean() / 255) for image in images])

    def table(self, values: Sequence[float]) -> pl.DataFrame:
        shades = ["light" if value > 0.5 else "dark" for value in values]
        schema = {"brightness": pl.Float64, "shade": pl.String}
        return pl.DataFrame({"brightness": values, "shade": shades}, schema=schema)


class TestBrightness(JudgeContract):
    def judge(self) -> Judge:
        return Brightness()


@dataclass(frozen=True)
class Proud(Brightness):
    """Gives numbers out of its range."""

    def table(self, values: Sequence[float]) -> pl.DataFrame:
        return super().table([2 + value for value in values])


@dataclass(frozen=True)
class Grey(Brightness):
    """Has a label that is not on its list."""

    def table(self, values: Sequence[float]) -> pl.DataFrame:
        return super().table(values).with_columns(pl.lit("grey").alias("shade"))


@dataclass(frozen=True)
class Lazy(Brightness):
    """Gives another table where there is nothing to do."""

    def table(self, values: Sequence[float]) -> pl.DataFrame:
        return super().table(values) if values else pl.DataFrame()


@dataclass(frozen=True)
class Moody(Brightness):
    """Draws from the global generator."""

    def table(self, values: Sequence[float]) -> pl.DataFrame:
        return super().table([float(np.random.rand()) * value for value in values])


@dataclass(frozen=True)
class Comparing(Brightness):
    """Judges a picture by those beside it."""

    def table(self, values: Sequence[float]) -> pl.DataFrame:
        return super().table([value / max(values) for value in values])


@dataclass(frozen=True)
class Deaf(Brightness):
    """Does not look at what it needs."""

    def __call__(self, images: Sequence[Any], **_: Any) -> pl.DataFrame:
        return self.table([0.5 for _ in images])


@dataclass(frozen=True)
class Odd(Brightness):
    """Has settings that no file holds."""

    settings: ClassVar[Mapping[str, Any]] = {"pair": (1, 2)}


class Plain:
    """Is no judge."""


FAULTS: list[tuple[type[Any], str]] = [
    (Proud, "its_rows_are_as_its_columns_say"),
    (Grey, "its_rows_are_as_its_columns_say"),
    (Lazy, "its_rows_are_as_its_columns_say"),
    (Moody, "two_made_alike_are_one_judge"),
    (Moody, "it_leaves_pictures_and_random_states_alone"),
    (Comparing, "a_row_is_of_its_picture_alone"),
    (Deaf, "what_it_needs_must_be_there_for_each_picture"),
    (Odd, "two_made_alike_are_one_judge"),
    (Plain, "it_is_a_judge_and_a_plugin"),
]


@pytest.mark.parametrize(("cls", "promise"), FAULTS, ids=lambda each: getattr(each, "__name__", each))
def test_a_fault_is_found(cls: type[Any], promise: str) -> None:
    contract = TestBrightness()
    contract.judge = cls  # type: ignore[method-assign]
    with pytest.raises((AssertionError, pytest.fail.Exception, BadArgument)):
        getattr(contract, f"test_{promise}")()
