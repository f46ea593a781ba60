"""Real pictures that others are held against: which they are, what judges see in them, and the distances from them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bench.stubs import CASES, QUICK, Nudge, StubJudge
from PIL import Image
from runs.test_plan import condition

from turpentine.bench import Erasure, load_erasure, run_erasure
from turpentine.bench.metrics import Measure
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.parts import DamagedPart
from turpentine.judges.base import LABEL, Column
from turpentine.models import Model
from turpentine.runs.ledger import LedgerError, LostPart
from turpentine.runs.plan import Plan
from turpentine.runs.plan_file import from_json, to_json
from turpentine.runs.references import ReferenceSet, judge_references, reference_files, reference_rows
from turpentine.runs.specs import JudgeSpec
from turpentine.runs.store import Store
from turpentine.stats.set_distances import fid

FID = Measure.parse("fid of vector to references")


class Means:
    """Three numbers of a picture, the means of its channels."""

    name, revision, download = "means", "1", None
    settings: Mapping[str, Any] = {}
    needs: frozenset[str] = frozenset()
    columns: Mapping[str, Column] = {"vector": LABEL}

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, images: Sequence[Image.Image], **_: Any) -> pl.DataFrame:
        self.seen.append(len(images))
        vectors = [channel_means(image) for image in images]
        return pl.DataFrame([pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, 3))])


def channel_means(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32).mean(axis=(0, 1))


def pictures(folder: Path, count: int, seed: int = 0) -> list[Image.Image]:
    """Put some noise into a folder, beside what is no picture."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(count)]
    for number, image in enumerate(images):
        image.save(folder / f"{number:03}.png")
    (folder / "read me.txt").write_text("photographs")
    (folder / "._000.png").write_bytes(b"of a file system")
    return images


def test_a_set_is_the_content_of_its_files_whatever_their_names_and_place(tmp_path: Path) -> None:
    pictures(tmp_path / "a", 5)
    pictures(tmp_path / "c", 5, seed=1)
    (tmp_path / "b").mkdir()
    for number, path in enumerate(sorted((tmp_path / "a").glob("[0-9]*.png"), reverse=True)):
        shutil.copy(path, tmp_path / "b" / f"other {number}.PNG")
    one, moved, others = (ReferenceSet.of(tmp_path / name) for name in "abc")
    assert one.pictures == 5 and one.facts == moved.facts == {"pictures": 5, "sha256": one.sha256}
    assert others.sha256 != one.sha256
    assert [path.read_bytes() for path in one.paths()] == [path.read_bytes() for path in moved.paths()]
    shutil.copy(tmp_path / "b" / "other 0.PNG", tmp_path / "b" / "twice.png")
    assert ReferenceSet.of(tmp_path / "b").facts != one.facts
    with pytest.raises(BadArgument, match="holds other pictures now"):
        moved.paths()


@pytest.mark.parametrize(
    ("count", "sentence"),
    [(None, "There is no folder of reference pictures"), (0, "holds no pictures, and"), (1, "holds 1 picture, and")],
)
def test_a_folder_without_enough_pictures_is_refused(tmp_path: Path, count: int | None, sentence: str) -> None:
    if count is not None:
        pictures(tmp_path / "real", count)
    with pytest.raises(BadArgument, match=sentence):
        reference_files(tmp_path / "real")


def test_judges_look_at_each_picture_once_and_a_killed_look_goes_on(tmp_path: Path) -> None:
    images, judge, progress = pictures(tmp_path / "real", 70), Means(), []
    references, store, spec = ReferenceSet.of(tmp_path / "real"), Store(tmp_path / "run"), JudgeSpec.of(judge)
    with pytest.raises(ZeroDivisionError):
        judge_references(references, {spec: judge}, store, lambda done, total: 1 // (done < 64))
    judge_references(references, {spec: judge}, store, lambda done, total: progress.append((done, total)))
    judge_references(references, {spec: judge}, store)
    assert judge.seen == [32, 32, 6] and progress == [(70, 70)]
    rows = reference_rows(references, [spec], store)
    assert sorted(map(tuple, rows["vector"].to_list())) == sorted(tuple(channel_means(image)) for image in images)
    assert rows["prompt"].n_unique() == 70
    store.forget_errors()
    part = next((tmp_path / "run" / "scores").rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-5])
    with pytest.warns(DamagedPart), pytest.raises(LostPart):
        reference_rows(references, [spec], store)
    judge_references(references, {spec: judge}, store)
    assert reference_rows(references, [spec], store).equals(rows)


def test_a_judge_that_needs_more_than_pictures_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "real", 3)
    judge, store = Means(), Store(tmp_path / "run")
    spec = replace(JudgeSpec.of(judge), needs=frozenset({"reference"}))
    with pytest.raises(BadArgument, match="means needs a reference with each picture, which real pictures lack"):
        judge_references(ReferenceSet.of(tmp_path / "real"), {spec: judge}, store)
    (tmp_path / "real" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(BadArgument, match=r"broken\.jpg is no picture that can be read"):
        judge_references(ReferenceSet.of(tmp_path / "real"), {JudgeSpec.of(judge): judge}, store)


def test_they_decide_what_may_stand_in_one_table_and_go_into_the_plans_file(tmp_path: Path) -> None:
    pictures(tmp_path / "real", 3)
    references = ReferenceSet.of(tmp_path / "real")
    line, plain = condition(references=references), condition()
    assert line.comparable == {**plain.comparable, "references": references.facts}
    assert line.id != plain.id and set(line.pictures) == set(plain.pictures)
    assert line.id == condition(references=replace(references, folder="elsewhere")).id
    [again] = from_json(json.loads(json.dumps(to_json(Plan([line]))))).conditions
    assert again.references == references and again.id == line.id


def features(rng: np.random.Generator, count: int, shift: float) -> pl.DataFrame:
    vectors = rng.normal(shift, 1, (count, 3))
    names = [str(number) for number in range(count)]
    return pl.DataFrame({"label": "x", "prompt": names, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float64, 3))})


def test_the_distance_is_to_the_references_and_the_difference_that_of_two_distances() -> None:
    rng = np.random.default_rng(2)
    real, before, after = features(rng, 60, 0), features(rng, 40, 1), features(rng, 40, 3)
    apart = {
        name: fid(rows["vector"].to_numpy(), real["vector"].to_numpy())
        for name, rows in {"b": before, "a": after}.items()
    }
    value = FID.value(after, before, real)
    assert value.value == pytest.approx(apart["a"]) and value.low < value.value < value.high and value.judged == 40
    assert FID.value(before, None, real).value == pytest.approx(apart["b"])
    difference = FID.difference(after, before, real)
    assert difference.value == pytest.approx(apart["a"] - apart["b"]) and difference[1:3] == (None, None)
    assert FID.value(after, before, real[:1]).value is None and FID.value(after, before, None).value is None
    pooled = FID.pooled_value([(before, None), (after, before)], real)
    assert pooled.value == pytest.approx((apart["a"] + apart["b"]) / 2)
    assert FID.pooled_difference([(after, before)] * 2, real).value == pytest.approx(apart["a"] - apart["b"])
    assert Measure.parse("fid of vector").value(after, before, real).value == pytest.approx(
        fid(after["vector"].to_numpy(), before["vector"].to_numpy())
    )


def test_a_measure_says_what_it_is_to() -> None:
    assert str(FID) == "fid of vector to references" and Measure.parse("fid of vector") != FID
    assert (FID.better("other"), FID.better("erased")) == ("lower", None)
    with pytest.raises(BadArgument, match="only fid and clip-mmd are to references"):
        Measure.parse("mean of clip to references")


def erase(model: Model, out: Path, references: Path | None, **changes: Any) -> Any:
    settings = {"method": Nudge(), "protocol": QUICK, "judges": (StubJudge(), Means()), "cases": CASES, **changes}
    erasure = Erasure(Concept("church"), **{"measures": (FID,), **settings}, references=references)
    return run_erasure(model, erasure, out)


def test_a_run_is_held_against_them_and_read_again_without_them(sd1: Model, tmp_path: Path) -> None:
    images, real = pictures(tmp_path / "real", 5), tmp_path / "real"
    result = erase(sd1, tmp_path / "run", real)
    row = result.table.rows.filter(measure=str(FID), group="erased", label="").to_dicts()
    drawn = [
        np.stack([channel_means(each) for (prompt, _), each in side.images.items() if "church" in prompt])
        for side in (result.before, result.after)
    ]
    plain = [fid(vectors, np.stack([channel_means(image) for image in images])) for vectors in drawn]
    assert [each["value"] for each in row] == pytest.approx(plain, rel=1e-5)
    assert row[1]["diff"] == pytest.approx(plain[1] - plain[0], rel=1e-4)
    facts = ReferenceSet.of(real).facts
    assert result.run.identity["protocol"]["references"] == facts
    shutil.rmtree(real)
    assert load_erasure(tmp_path / "run").table.rows.equals(result.table.rows)
    pictures(real, 5, seed=9)
    with pytest.raises(BadArgument, match="holds a run with another protocol"):
        erase(sd1, tmp_path / "run", real)
    for part in (tmp_path / "run" / ".store" / "scores").rglob("*.parquet"):
        part.unlink()
    with pytest.raises(LedgerError, match="run it anew with --force"):
        load_erasure(tmp_path / "run")


@pytest.mark.parametrize(
    ("measures", "is_given", "sentence"),
    [
        ((FID,), False, "fid of vector to references is to real pictures: give their folder as references"),
        ((), True, "Nothing is measured against the references"),
    ],
)
def test_references_and_measures_against_them_come_together(
    sd1: Model, tmp_path: Path, measures: Any, is_given: bool, sentence: str
) -> None:
    pictures(tmp_path / "real", 3)
    with pytest.raises(BadArgument, match=re.escape(sentence)):
        erase(sd1, tmp_path / "run", tmp_path / "real" if is_given else None, measures=measures)
    assert not (tmp_path / "run").exists()
