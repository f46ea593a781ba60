"""The contract of a judge as a pytest class: subclass it, say how the judge is made, and run pytest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from turpentine.core.errors import BadArgument
from turpentine.core.random_state import random_states
from turpentine.judges.base import Judge

PROMPTS = ("a dog", "a red cat", "a church")
NEEDS = {"prompt": "prompts", "reference": "references"}


class JudgeContract:
    """What Turpentine promises of every judge, as tests on a few small pictures.

        class TestBrightness(JudgeContract):
            def judge(self) -> Brightness:
                return Brightness(rows=4)

    Args:
        size: Width and height of the pictures that it is shown, in pixels.
    """

    size: ClassVar[tuple[int, int]] = (32, 32)

    def judge(self) -> Judge:
        """Return the judge under test, a new one at each call."""
        raise NotImplementedError("Give the judge under test, a new one at each call.")

    def pictures(self, count: int, seed: int = 0) -> list[Any]:
        """Return smooth pictures, all different."""
        from PIL import Image

        small = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        return [Image.fromarray(one).resize(self.size, Image.Resampling.BICUBIC) for one in small]

    def rows(self, judge: Judge, pictures: Sequence[Any], order: slice = slice(None)) -> pl.DataFrame:
        """Return the judge's scores of pictures, given all that it may need."""
        prompts = [PROMPTS[index % len(PROMPTS)] for index in range(len(pictures))]
        references = self.pictures(len(pictures), seed=1)
        return judge(pictures[order], prompts=prompts[order], references=references[order])

    def test_it_is_a_judge_and_a_plugin(self) -> None:
        """A frozen dataclass, whose fields are its settings, with all that `Judge` asks for."""
        judge = self.judge()
        assert isinstance(judge, Judge), "something of `turpentine.judges.Judge` is missing"
        assert dataclasses.is_dataclass(judge), "it is no dataclass"
        assert type(judge).__dataclass_params__.frozen, "it is not frozen"
        assert type(judge).__doc__ and judge.name
        assert judge.download is None or judge.download.strip()

    def test_its_rows_are_as_its_columns_say(self) -> None:
        """A row for each picture; numbers in their range; labels that it lists; no picture, no row."""
        judge, pictures = self.judge(), self.pictures(2)
        rows = self.rows(judge, pictures)
        assert rows.columns == list(judge.columns), "other columns than it says, or in another order"
        assert len(rows) == 2, "not a row for each picture"
        assert judge([]).schema == rows.schema, "other columns where there is no picture"
        for column, about in judge.columns.items():
            values = rows[column].drop_nulls()
            assert about.is_number == rows[column].dtype.is_numeric(), f"{column} is a number, or is none"
            if about.low is not None and about.high is not None:
                assert values.is_between(about.low, about.high).all(), f"{column} is out of its range"
            if about.labels is not None:
                assert set(values) <= set(about.labels), f"{column} has a label that is not on its list"

    def test_two_made_alike_are_one_judge(self) -> None:
        """Their revisions, their settings, which are JSON, and their rows are the same."""
        one, other, pictures = self.judge(), self.judge(), self.pictures(3)
        assert (one.revision, one.settings) == (other.revision, other.settings)
        assert json.loads(json.dumps(dict(one.settings))) == one.settings, "its settings are not as JSON has them"
        assert self.rows(one, pictures).equals(self.rows(other, pictures)), "it gives other rows the second time"

    def test_a_row_is_of_its_picture_alone(self) -> None:
        """Whichever pictures are judged beside it, up to what floating point does."""
        judge, pictures = self.judge(), self.pictures(3)
        together = self.rows(judge, pictures)
        apart = pl.concat([self.rows(judge, pictures, slice(index, index + 1)) for index in range(3)])
        backwards = self.rows(judge, pictures, slice(None, None, -1))[::-1]
        assert_frame_equal(together, apart, rel_tol=1e-4, abs_tol=1e-4)
        assert_frame_equal(together, backwards, rel_tol=1e-4, abs_tol=1e-4)

    def test_what_it_needs_must_be_there_for_each_picture(self) -> None:
        """One that is missing, or too few of them, is a sentence."""
        judge, pictures = self.judge(), self.pictures(2)
        assert judge.needs <= NEEDS.keys(), "it needs what nobody gives"
        given: dict[str, Any] = {"prompt": PROMPTS[:1], "reference": self.pictures(1)}
        for need in judge.needs:
            others = {NEEDS[other]: given[other] for other in judge.needs if other != need}
            with pytest.raises(BadArgument, match=f"needs a {need}"):
                judge(pictures, **others)
            with pytest.raises(BadArgument, match="and has 1"):
                judge(pictures, **{NEEDS[need]: given[need]})
        assert isinstance(judge([]), pl.DataFrame)

    def test_it_leaves_pictures_and_random_states_alone(self) -> None:
        """No pixel changes, and nothing is drawn from NumPy's or torch's global generators.

        Not even where its network is read, whose weights are made before they are filled.
        """
        pictures = self.pictures(2)
        before = [picture.tobytes() for picture in pictures]
        states = random_states()
        self.rows(self.judge(), pictures)
        assert [picture.tobytes() for picture in pictures] == before, "it changes pictures"
        assert random_states() == states, "it draws from a global generator"
