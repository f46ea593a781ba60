from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bench.stubs import CASES, QUICK, StubJudge
from PIL import Image

from turpentine.bench import Case, Measurement, Store, measure
from turpentine.core.errors import BadArgument
from turpentine.models import Model, count_rows


@pytest.fixture(scope="module")
def measured(sd1: Model) -> Measurement:
    return measure(sd1, CASES, StubJudge(), QUICK)


def test_a_row_for_each_case_and_seed_in_order(measured: Measurement) -> None:
    asked = [(case.group, case.label, case.prompt, seed) for case in CASES for seed in QUICK.seeds]
    assert measured.rows.select("group", "label", "prompt", "seed").rows() == asked


def test_a_picture_is_drawn_and_judged_once_however_many_cases_share_it(sd1: Model) -> None:
    judge = StubJudge()
    with count_rows(sd1) as count:
        measured = measure(sd1, CASES, judge, QUICK)
    assert len(measured.images) == 6
    assert count.rows == 6 * QUICK.steps * 2
    assert judge.seen == 6


def test_a_hit_is_what_the_case_wanted_by_its_own_attribute(measured: Measurement) -> None:
    for row in measured.rows.iter_rows(named=True):
        assert row["hit"] == (row[row["attribute"]] == row["expected"])
    assert measured.rows.filter(group="style")["hit"].all()


def test_pictures_are_those_of_generate(sd1: Model, measured: Measurement) -> None:
    [image] = sd1.generate("a church", seeds=1, steps=QUICK.steps, guidance_scale=QUICK.guidance_scale)
    pairs = zip(image.tobytes(), measured.images["a church", 1].tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 2


def test_a_case_without_truth_has_no_hit_and_needs_no_judge(sd1: Model) -> None:
    measured = measure(sd1, [Case("erased", "church", "church")], None, QUICK)
    assert measured.rows["hit"].to_list() == [None, None]
    assert {"contrast", "roughness", "broken"} < set(measured.rows.columns)
    assert measured.rows.columns[-1] == "hit"


def test_an_attribute_that_the_judge_does_not_know_is_an_error_before_any_work(sd1: Model) -> None:
    case = Case("colour", "red", "a dog", "colour", "red")
    with count_rows(sd1) as count, pytest.raises(BadArgument, match="nothing of colour"):
        measure(sd1, [*CASES, case], StubJudge(), QUICK)
    assert count.rows == 0


def test_progress_counts_pictures(sd1: Model) -> None:
    told: list[tuple[int, int]] = []
    measure(sd1, CASES, StubJudge(), QUICK, progress=lambda *now: told.append(now))
    assert told == [(0, 6), (2, 6), (4, 6), (6, 6)]


def test_what_the_store_holds_is_not_drawn_again_and_is_the_same_bit_by_bit(sd1: Model, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = measure(sd1, CASES, StubJudge(), QUICK, store=store)
    min((tmp_path / "draws").iterdir()).unlink()
    with count_rows(sd1) as count:
        again = measure(sd1, CASES, StubJudge(), QUICK, store=store)
    assert count.rows == 2 * QUICK.steps * 2
    assert again.rows.equals(first.rows)
    assert again.images == first.images


def test_a_store_of_other_settings_or_another_model_is_not_used(sd1: Model, sd2: Model, tmp_path: Path) -> None:
    store = Store(tmp_path)
    measure(sd1, CASES, StubJudge(), QUICK, store=store)
    for model, protocol in ((sd2, QUICK), (sd1, replace(QUICK, guidance_scale=2.0))):
        with count_rows(model) as count:
            measure(model, CASES, StubJudge(), protocol, store=store)
        assert count.rows > 0


def test_another_judge_sees_the_same_pictures_and_none_is_drawn_again(sd1: Model, tmp_path: Path) -> None:
    judge, store = StubJudge("2"), Store(tmp_path)
    first = measure(sd1, CASES, StubJudge("1"), QUICK, store=store)
    with count_rows(sd1) as count:
        again = measure(sd1, CASES, judge, QUICK, store=store)
    assert (count.rows, judge.seen) == (0, 6)
    assert again.rows.equals(first.rows)


def test_a_judge_that_fails_is_not_kept_quiet(sd1: Model) -> None:
    class Broken(StubJudge):
        def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
            raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        measure(sd1, CASES, Broken(), QUICK)


def test_the_protocol_tells_drawing_cases_and_judges(measured: Measurement) -> None:
    assert measured.protocol["steps"] == QUICK.steps
    assert measured.protocol["seeds"] == [0, 1]
    assert [one["name"] for one in measured.protocol["judges"]] == ["stub", "picture statistics"]
    assert len(measured.protocol["cases"]) == 64
