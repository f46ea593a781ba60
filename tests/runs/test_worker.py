from __future__ import annotations

import json
import math
import random
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from bench.crew import FEW, SMALL, Bench, Crashing, Distance, Logged, lines, start
from bench.stubs import WEIGHT, StubJudge
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.parts import DamagedPart
from turpentine.edits import Edit, Provenance
from turpentine.judges.base import LABEL, Column
from turpentine.models import count_rows
from turpentine.runs.leases import Leases
from turpentine.runs.ledger import LedgerError, until_whole
from turpentine.runs.plan import Plan
from turpentine.runs.results import compact
from turpentine.runs.retry import TRIES
from turpentine.runs.store import Store
from turpentine.runs.worker import Worker


def bench(**changes: Any) -> Bench:
    return Bench(things=FEW, protocol=SMALL, **changes)


def results(one: Bench, folder: Path) -> pl.DataFrame:
    return pl.read_parquet(compact(one.plan, Store(folder)).path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Path]:
    """A run that nothing has disturbed: its bench and its folder."""
    one, folder = bench(), tmp_path_factory.mktemp("whole")
    one.worker(Store(folder)).run()
    return one, folder


def test_results_have_a_row_for_each_line_case_and_seed_in_the_plans_order(whole: tuple[Bench, Path]) -> None:
    one, folder = whole
    rows = results(one, folder)
    asked = [
        (condition.id, f"a {thing}", seed) for condition in one.plan.conditions for thing in FEW for seed in SMALL.seeds
    ]
    assert rows.select("condition", "prompt", "seed").rows() == asked
    assert rows["method"].to_list() == ["nudge"] * 4 + [""] * 4
    assert rows["concept"].to_list() == ["church"] * 4 + [""] * 4
    assert rows["error"].null_count() == 8
    assert rows["hit"].to_list() == [row["object"] == row["expected"] for row in rows.iter_rows(named=True)]


def test_results_are_of_the_pictures_that_the_model_draws(whole: tuple[Bench, Path]) -> None:
    one, folder = whole
    store = Store(folder)
    edit = store.edits.load(one.plan.edit_specs[0])
    prompts, seeds = ["a dog", "a dog"], [0, 1]
    settings = {"steps": 1, "guidance_scale": 1.0, "batch_size": 2}
    before = one.model.generate(prompts, seeds=seeds, **settings)
    with edit.on(one.model):
        after = one.model.generate(prompts, seeds=seeds, **settings)
    rows = results(one, folder).filter(prompt="a dog")
    for method, images in (("nudge", after), ("", before)):
        kept = rows.filter(method=method)
        assert [store.picture(name).tobytes() for name in kept["image"]] == [each.tobytes() for each in images]
        assert kept["distance"].to_list() == Distance()(images, references=before)["distance"].to_list()


def test_a_finished_run_draws_and_judges_nothing_and_leaves_the_model_as_it_was(whole: tuple[Bench, Path]) -> None:
    one, folder = whole
    before = compact(one.plan, Store(folder)).sha256
    with count_rows(one.model) as count:
        one.worker(Store(folder)).run()
    assert count.rows == 0
    assert not one.model.edits
    assert compact(one.plan, Store(folder)).sha256 == before


def test_results_are_a_runs_own_whatever_becomes_of_their_file(whole: tuple[Bench, Path]) -> None:
    one, folder = whole
    store = Store(folder)
    found = compact(one.plan, store)
    written = pl.read_parquet(found.path)
    compact(Plan([one.unedited]), store)
    assert found.frame.equals(written)
    assert pl.read_parquet(found.path).height < found.rows


def test_each_picture_is_drawn_once_and_the_edit_is_made_and_put_on_once(tmp_path: Path) -> None:
    one, told = bench(), []
    with count_rows(one.model) as count:
        one.worker(Store(tmp_path), progress=lambda *now: told.append(now)).run()
    assert count.rows == 2 * 4
    assert told == [
        *(("pictures", done, 8) for done in (0, 2, 4)),
        ("edit", 1, 1),
        ("edits", 1, 1),
        *(("pictures", done, 8) for done in (6, 8)),
    ]


def test_equal_pictures_are_one_file(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Nothing:
        def __call__(self, model: Any, concept: Any, **_: Any) -> Edit:
            return Edit({WEIGHT: torch.zeros_like(model.parameter(WEIGHT))})

    one = bench(method=Nothing())
    one.worker(Store(tmp_path)).run()
    rows = results(one, tmp_path)
    assert rows["image"].n_unique() == len(list((tmp_path / "images").rglob("*.png"))) == 4
    assert rows["distance"].to_list() == [0.0] * 8


class Poisoned(StubJudge):
    """Cannot see pictures of one colour, and says how often it tried."""

    def __init__(self, poison: bytes) -> None:
        super().__init__()
        self.poison, self.tries = poison, 0

    def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
        self.tries += bool(images)  # of no picture it is only asked which columns it has
        if any(image.tobytes() == self.poison for image in images):
            raise ZeroDivisionError("no\nsuch colour")
        return super().__call__(images, **told)


def test_a_picture_that_a_judge_fails_on_is_a_row_with_an_error_and_the_others_are_judged(
    whole: tuple[Bench, Path], tmp_path: Path
) -> None:
    calm = results(*whole)
    poison = calm["image"][1]
    judge = Poisoned(Store(whole[1]).picture(poison).tobytes())
    one = bench(judge=judge)
    one.worker(Store(tmp_path)).run()
    rows = results(one, tmp_path)
    guilty = rows.filter(pl.col("error").is_not_null())
    assert guilty.select("image", "error", "hit", "object").rows() == [
        (poison, "ZeroDivisionError: no such colour", None, None)
    ]
    assert rows.filter(pl.col("error").is_null()).equals(calm.filter(pl.col("image") != poison))
    # A batch is tried three times, then each of its two pictures by itself, the guilty one three times.
    assert judge.tries == 3 + (3 + 1 + 3)
    assert compact(one.plan, Store(tmp_path)).errors == 1


def test_what_is_forgotten_is_tried_again(whole: tuple[Bench, Path], tmp_path: Path) -> None:
    calm = results(*whole)
    judge = Poisoned(Store(whole[1]).picture(calm["image"][1]).tobytes())
    one, store = bench(judge=judge), Store(tmp_path)
    one.worker(store).run()
    judge.poison = b""
    with count_rows(one.model) as count:
        assert store.forget_errors() == 1
        one.worker(store).run()
    assert count.rows == 0
    assert results(one, tmp_path).equals(calm)


@pytest.mark.parametrize("content", ["{", "[]", '{"error": "x"}'])
def test_what_a_damaged_edit_says_is_not_forgotten_but_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "edits" / "a.part.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.warns(DamagedPart, match=r"a\.part\.json is damaged: it is computed anew"):
        assert Store(tmp_path).forget_errors() == 0
    assert not path.exists()


@dataclass(frozen=True)
class Bad:
    """A method that fails, or whose edit makes a model draw NaN."""

    error: type[Exception] | None = None

    def __call__(self, model: Any, concept: Any, **_: Any) -> Edit:
        if self.error:
            raise self.error("it cannot be")
        return Edit({WEIGHT: torch.full_like(model.parameter(WEIGHT), 3e38)}, Provenance(base=model.fingerprint))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Bad(), "NotFinite: The autoencoder gives NaN or infinity (first in vae.decoder."),
        (Bad(BadArgument), "it cannot be"),
        (Bad(OverflowError), "it cannot be"),
    ],
)
def test_a_method_that_fails_or_gives_nan_costs_its_own_rows_only(
    whole: tuple[Bench, Path], tmp_path: Path, method: Bad, said: str
) -> None:
    one = bench(method=method)
    one.worker(Store(tmp_path)).run()
    rows, calm = results(one, tmp_path), results(*whole)
    edited = rows.filter(method="nudge")
    assert all(said in error for error in edited["error"])
    assert edited["image"].null_count() == edited["hit"].null_count() == edited["distance"].null_count() == 4
    assert rows.filter(method="").drop("condition").equals(calm.filter(method="").drop("condition"))
    assert not one.model.edits


def test_a_score_that_is_no_number_is_an_error_of_its_picture(tmp_path: Path) -> None:
    class Nowhere(StubJudge):
        columns: Mapping[str, Column] = {**StubJudge.columns, "score": Distance.columns["distance"]}

        def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
            scores = [float("nan") if image.tobytes() in bad else 0.5 for image in images]
            return super().__call__(images).with_columns(pl.Series("score", scores, dtype=pl.Float64))

    one = bench(judge=Nowhere())
    bad = {one.model.generate(["a dog"], seeds=[1], steps=1, guidance_scale=1.0)[0].tobytes()}
    one.worker(Store(tmp_path)).run()
    rows = results(one, tmp_path).filter(method="")
    assert rows["error"].to_list() == [None, None, None, "NotFinite: The judge stub gives NaN or infinity in score."]


@pytest.mark.parametrize("dtype", [pl.Array(pl.Float32, 2), pl.List(pl.Float64), pl.List(pl.Array(pl.Float64, 2))])
def test_a_vector_that_holds_no_number_is_an_error_too(tmp_path: Path, dtype: Any) -> None:
    class Nowhere(StubJudge):
        columns: Mapping[str, Column] = {**StubJudge.columns, "features": LABEL}
        number = 1.0

        def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
            vector: Any = [self.number, 0.5]
            values = [[vector] if isinstance(dtype.inner, pl.Array) else vector] * len(images)
            return super().__call__(images).with_columns(pl.Series("features", values, dtype=dtype))

    judge = Nowhere()
    one = bench(judge=judge)
    plan = Plan([one.unedited])
    for number, errors in ((1.0, 0), (math.inf, 4)):
        judge.number, store = number, Store(tmp_path / str(number))
        Worker(plan, store, models={one.source: one.model}, judges=one.judges).run()
        found = compact(plan, store)
        assert found.errors == errors
    assert "NaN or infinity in features" in str(found.first_error)


def test_a_picture_that_is_missing_after_a_run_comes_back_as_its_error_says(tmp_path: Path) -> None:
    one, store = bench(), Store(tmp_path)
    one.worker(store).run()
    found = compact(one.plan, store)
    name = found.frame["image"][5]
    store.images.path(name).unlink()
    with pytest.raises(LedgerError, match=r"is missing or damaged: remove .*and run again") as caught:
        store.picture(name)
    Path(str(caught.value).split("remove ")[1].split(" and run")[0]).unlink()
    one.worker(store).run()
    assert store.picture(name)
    assert compact(one.plan, store).sha256 == found.sha256


def test_a_picture_that_ends_each_worker_that_judges_it_becomes_an_error_and_the_rest_is_done(
    whole: tuple[Bench, Path], tmp_path: Path
) -> None:
    codes = []
    while codes[-1:] != [0]:
        process = start(tmp_path, tmp_path / "log", bench=Crashing)
        process.join(60)
        codes.append(process.exitcode)
    assert codes == [-signal.SIGKILL] * 6 + [0]
    rows, calm = results(whole[0], tmp_path), results(*whole)
    assert rows["error"].to_list() == [None] * 7 + ["3 workers were lost over it."]
    assert rows["image"].equals(calm["image"])
    # Its pictures were drawn once more at most: what was drawn outlives the judge from the second try on.
    assert len(lines(tmp_path / "log")) <= len(whole[0].plan.jobs) + 2


class Counting(StubJudge):
    """Says how many pictures it was shown at once: what a network's last bits depend on."""

    columns: Mapping[str, Column] = {**StubJudge.columns, "shown": Column(0)}

    def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
        return super().__call__(images).with_columns(pl.lit(len(images), dtype=pl.Int64).alias("shown"))


def lost(store: Store, key: str) -> None:
    """Let as many workers be lost over a batch as make it suspect."""
    for number in range(TRIES):
        assert Leases(store.leases).take(key) is not None
        path = store.leases / f"{key}.{number}"
        path.write_text(json.dumps({**json.loads(path.read_text()), "began": "0"}))


def test_batches_that_workers_were_lost_over_without_their_fault_are_done_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Logged.generate

    def uneven(model: Logged, prompts: Sequence[str], **settings: Any) -> list[Image.Image]:
        return [image.point(lambda value: value ^ len(prompts)) for image in draw(model, prompts, **settings)]

    monkeypatch.setattr(Logged, "generate", uneven)
    one = bench(judge=Counting())
    calm, shaken = Store(tmp_path / "calm"), Store(tmp_path / "shaken")
    one.worker(calm).run()
    for job in one.plan.jobs:
        lost(shaken, job.batch.key)
    one.worker(shaken).run()
    assert compact(one.plan, shaken).sha256 == compact(one.plan, calm).sha256
    assert not list(shaken.leases.iterdir())


def test_a_batch_that_ends_workers_only_when_it_is_whole_is_given_up(tmp_path: Path) -> None:
    one, store = bench(), Store(tmp_path)
    key = one.plan.jobs[0].batch.key
    for each in (key, f"{key}-whole"):
        lost(store, each)
    one.worker(store).run()
    part = store.draws.get(key)
    assert part is not None
    assert part["error"].to_list() == ["3 workers were lost over it."] * 2


def test_a_disk_that_is_full_and_a_keyboard_stop_the_run_and_are_no_rows(tmp_path: Path) -> None:
    class Stopped(StubJudge):
        def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
            raise error

    for error in (OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()):
        one = bench(judge=Stopped())
        with pytest.raises(type(error)):
            one.worker(Store(tmp_path)).run()
        assert not list(tmp_path.rglob("*.parquet"))
        assert not list((tmp_path / "leases").iterdir())
        assert not one.model.edits


def test_a_damaged_part_or_picture_is_made_anew_with_one_warning(whole: tuple[Bench, Path], tmp_path: Path) -> None:
    one, store = bench(), Store(tmp_path)
    one.worker(store).run()
    name = results(one, tmp_path)["image"][0]
    for job in (one.plan.jobs[0], one.plan.jobs[-1]):  # the unedited model's, with which the other is compared
        for path in (store.draws.path(job.batch.key), store.images.path(name)):
            path.write_bytes(path.read_bytes()[:-5])
            for scores in (tmp_path / "scores").rglob("*.parquet"):
                scores.unlink()
            with pytest.warns(DamagedPart, match=f"{path.name} is damaged: it is computed anew") as warned:
                one.worker(store).run()
            assert len(warned) == 1
            assert results(one, tmp_path).equals(results(*whole))
    store.draws.path(one.plan.jobs[0].batch.key).unlink()
    with pytest.raises(LedgerError, match=rf"{one.plan.jobs[0].batch.key}\.parquet is missing"):
        compact(one.plan, store)
    one.worker(store).run()
    assert results(one, tmp_path).equals(results(*whole))


def test_an_edit_that_was_altered_or_is_missing_is_not_used(tmp_path: Path) -> None:
    one, store = bench(), Store(tmp_path)
    one.worker(store).run()
    edit_spec = one.plan.edit_specs[0]
    made = store.edits.record(edit_spec)
    assert made is not None
    path = tmp_path / "edits" / made.file
    assert (made.id, made.bytes) == (Edit.load(path).id, path.stat().st_size)
    rows = results(one, tmp_path)
    for drawn in (tmp_path / "draws").iterdir():
        drawn.unlink()
    Edit.load(path).scaled(2.0).save(path)
    with pytest.raises(LedgerError, match="not the one that this bench made"):
        one.worker(store).run()
    for damage in (lambda: path.write_bytes(b""), path.unlink):
        damage()
        for drawn in (tmp_path / "draws").iterdir():
            drawn.unlink()
        with pytest.warns(DamagedPart, match=f"{path.name} is damaged: it is computed anew"):
            one.worker(store).run()
        assert Edit.load(path).id == made.id
        assert results(one, tmp_path).equals(rows)


def test_flipped_bits_in_a_finished_bench_are_found_and_put_right(whole: tuple[Bench, Path], tmp_path: Path) -> None:
    one, dice = whole[0], random.Random(0)
    calm = compact(one.plan, Store(whole[1])).sha256
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    one.worker(Store(tmp_path)).run()
    for path in sorted(tmp_path.glob("[ds]*/**/*.parquet")):
        content = bytearray(path.read_bytes())
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        with pytest.warns(DamagedPart, match=f"{path.name} is damaged"):
            found = until_whole(lambda: one.worker(Store(tmp_path)).run(), lambda: compact(one.plan, Store(tmp_path)))
        assert found.sha256 == calm


def test_a_model_with_edits_on_it_cannot_be_loaded_by_its_name(tmp_path: Path) -> None:
    one = bench()
    one.model.pipeline.save_pretrained(tmp_path / "model")
    source = replace(one.source, load=str(tmp_path / "model"), model={**one.source.model, "changes": ["e" * 64]})
    store = Store(tmp_path / "store")
    with pytest.raises(BadArgument, match="had 1 edits on it"):
        Worker(Plan([replace(one.unedited, source=source)]), store, judges=one.judges).run()
    assert not list((tmp_path / "store").rglob("*.parquet"))


def test_a_model_that_is_another_one_than_was_planned_with_is_an_error(tmp_path: Path) -> None:
    one = bench()
    one.model.pipeline.save_pretrained(tmp_path / "model")
    source = replace(one.source, load=str(tmp_path / "model"), model={**one.source.model, "weights": "0" * 64})
    store = Store(tmp_path / "store")
    plan = Plan([replace(one.unedited, source=source)])
    with pytest.raises(BadArgument, match="another one now than when the bench was planned, by its weights"):
        Worker(plan, store, judges=one.judges).run()
    assert not list((tmp_path / "store").rglob("*.parquet"))
