from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from bench.stubs import CALLS, CASES, QUICK, Killed, Nudge, StubJudge, killer

from turpentine.bench import Erasure, ErasureResult, load_erasure, make_edit, run_erasure
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EditError
from turpentine.models import Model, count_rows

CHURCH = Concept("church")
PICTURES = 3 * 2  # prompts by seeds
ROWS = PICTURES * QUICK.steps * 2  # denoiser rows of a measurement


def run(model: Model, out: Path, **changes: Any) -> ErasureResult:
    settings: dict[str, Any] = {"method": Nudge(), "protocol": QUICK, "judges": StubJudge(), "cases": CASES, **changes}
    names = {field.name for field in fields(Erasure)} & settings.keys()
    return run_erasure(model, Erasure(CHURCH, **{name: settings.pop(name) for name in names}), out, **settings)


@pytest.fixture(scope="module")
def whole(sd1: Model, tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    """A run that nothing has disturbed."""
    return run(sd1, tmp_path_factory.mktemp("whole") / "run")


def test_a_run_leaves_its_files_and_the_model_as_it_was(sd1: Model, whole: ErasureResult) -> None:
    assert all(whole.files[name].is_file() for name in ("edit", "run", "rows"))
    assert not list(whole.folder.rglob("*.checkpoint"))
    assert not list(whole.folder.rglob(".part-*"))
    assert not sd1.edits
    assert sd1.fingerprint == Model(sd1.pipeline).fingerprint


def test_before_is_the_base_and_after_the_edited_model(sd1: Model, whole: ErasureResult) -> None:
    settings = {"seeds": 1, "steps": QUICK.steps, "guidance_scale": QUICK.guidance_scale}
    [base] = sd1.generate("a church", **settings)
    with whole.edit.on(sd1):
        [edited] = sd1.generate("a church", **settings)
    assert _furthest(whole.before.images["a church", 1], base) <= 2
    assert _furthest(whole.after.images["a church", 1], edited) <= 2
    assert _furthest(base, edited) > 2


def test_the_denoiser_sees_each_picture_once_before_and_once_after(sd1: Model, tmp_path: Path) -> None:
    with count_rows(sd1) as count:
        run(sd1, tmp_path / "run")
    assert count.rows == 2 * ROWS


def test_a_finished_run_is_only_read(sd1: Model, whole: ErasureResult) -> None:
    made, before = len(CALLS), _contents(whole.folder)
    with count_rows(sd1) as count:
        again = run(sd1, whole.folder)
    assert count.rows == 0
    assert _contents(whole.folder) == before
    assert len(CALLS) == made
    assert again.before.rows.equals(whole.before.rows)
    assert again.after.rows.equals(whole.after.rows)


@pytest.mark.parametrize("calls", range(1, 10))
def test_a_killed_run_goes_on_to_the_same_result_and_repeats_only_what_was_in_flight(
    sd1: Model, whole: ErasureResult, tmp_path: Path, calls: int
) -> None:
    made = len(CALLS)
    with count_rows(sd1) as count, pytest.raises(Killed):
        run(sd1, tmp_path, progress=killer(calls))
    assert not sd1.edits
    first = count.rows
    with count_rows(sd1) as count:
        result = run(sd1, tmp_path)
    # The stub of a method tells of its work before it is kept; pictures are kept before they are told of.
    assert len(CALLS) - made == (2 if calls == 1 else 1)
    assert first + count.rows == 2 * ROWS
    assert result.before.rows.equals(whole.before.rows)
    assert result.after.rows.equals(whole.after.rows)
    assert result.edit == whole.edit


def test_progress_tells_the_phase_and_how_far_it_is(sd1: Model, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    run(sd1, tmp_path, progress=lambda *now: told.append(now))
    drawn = [0, 2, 4, 6]
    assert told == [("erase", 1, 1), *((phase, n, 6) for phase in ("before", "after") for n in drawn)]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"method": Nudge(0.25)}, "method"),
        ({"protocol": replace(QUICK, guidance_scale=3.0)}, "protocol"),
        ({"cases": CASES[:2]}, r"protocol \(cases\)"),
        ({"protocol": replace(QUICK, seeds=(9,), guidance_scale=2)}, r"protocol \(guidance scale, seeds\)"),
        ({"judges": StubJudge("2")}, "protocol"),
        ({"goal": "amplify"}, "goal"),
    ],
)
def test_a_folder_with_a_run_of_other_settings_is_an_error_that_names_the_way_out(
    sd1: Model, whole: ErasureResult, changes: dict[str, Any], named: str
) -> None:
    before = _contents(whole.folder)
    with pytest.raises(BadArgument, match=rf"another {named}.*--out.*--force"):
        run(sd1, whole.folder, **changes)
    assert _contents(whole.folder) == before


def test_an_edit_that_was_not_measured_is_measured_by_any_protocol(sd1: Model, tmp_path: Path) -> None:
    erasure = Erasure(CHURCH, Nudge(), QUICK, StubJudge(), CASES)
    edit, path = make_edit(sd1, erasure, tmp_path / "run")
    made = path.read_bytes()
    with pytest.raises(BadArgument, match="holds a run with another method and protocol"):
        run(sd1, tmp_path / "run", method=Nudge(0.5), protocol=replace(QUICK, seeds=(9,)))
    result = run(sd1, tmp_path / "run", protocol=replace(QUICK, seeds=(9,)))
    assert result.edit.id == edit.id and path.read_bytes() == made
    assert set(result.after.rows["seed"]) == {9}
    with pytest.raises(BadArgument, match="holds a run with another protocol"):
        run(sd1, tmp_path / "run")


def test_another_concept_or_model_is_another_run(sd1: Model, sd2: Model, whole: ErasureResult) -> None:
    with pytest.raises(BadArgument, match="another concept"):
        run_erasure(sd1, Erasure(Concept("dog"), Nudge(), QUICK, StubJudge(), CASES), whole.folder)
    with pytest.raises(BadArgument, match="another model"):
        run(sd2, whole.folder)


def test_another_batch_size_is_the_same_run(sd1: Model, whole: ErasureResult) -> None:
    with count_rows(sd1) as count:
        run(sd1, whole.folder, protocol=replace(QUICK, batch_size=6))
    assert count.rows == 0


def test_force_puts_the_new_run_in_the_old_ones_place_and_leaves_other_files(sd1: Model, tmp_path: Path) -> None:
    run(sd1, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    result = run(sd1, tmp_path, method=Nudge(0.25), force=True)
    assert result.edit.deltas["unet.conv_out.bias"].unique().tolist() == [0.25]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_refused_setting_draws_nothing_and_leaves_nothing(sd1: Model, tmp_path: Path) -> None:
    with count_rows(sd1) as count, pytest.raises(BadArgument, match="amount"):
        run(sd1, tmp_path / "runs" / "run", method=Nudge(-1.0))
    assert count.rows == 0
    assert not (tmp_path / "runs").exists()
    (tmp_path / "mine" / "run").mkdir(parents=True)
    with pytest.raises(BadArgument, match="amount"):
        run(sd1, tmp_path / "mine" / "run", method=Nudge(-1.0))
    assert (tmp_path / "mine").exists()


def test_a_file_in_the_folders_place_is_an_error(sd1: Model, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(BadArgument, match="is a file"):
        run(sd1, tmp_path / "run")


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 99}', "no json"])
def test_a_run_file_that_is_none_is_an_error(sd1: Model, tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(BadArgument, match=r"run\.json"):
        run(sd1, tmp_path)


def test_an_altered_edit_is_not_taken_for_the_runs(sd1: Model, tmp_path: Path) -> None:
    result = run(sd1, tmp_path)
    path = result.files["edit"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EditError):
        run(sd1, tmp_path)


def test_another_edit_in_its_place_is_not_taken_for_the_runs(sd1: Model, tmp_path: Path) -> None:
    result = run(sd1, tmp_path)
    result.edit.scaled(2.0).save(result.files["edit"])
    with pytest.raises(EditError, match=r"not the edit that this run made.*--force"):
        run(sd1, tmp_path)


def test_a_result_is_read_back_from_its_folder_without_the_model(whole: ErasureResult) -> None:
    read = load_erasure(whole.folder)
    assert read.effects.frame.equals(whole.effects.frame)
    assert read.concepts == (CHURCH,)
    assert read.after.images.keys() == whole.after.images.keys()
    assert all(read.after.images[pair] == image for pair, image in whole.after.images.items())


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: content[:99] + b"!" + content[100:]])
def test_damaged_rows_are_put_together_anew(whole: ErasureResult, tmp_path: Path, damage: Any) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "copy")
    rows = folder / "results.parquet"
    content = rows.read_bytes()
    rows.unlink()
    rows.write_bytes(damage(content))
    with pytest.warns(UserWarning, match="results.parquet"):
        read = load_erasure(folder)
    assert read.rows.equals(whole.rows) and rows.read_bytes() == content


def test_an_unfinished_run_is_not_read(sd1: Model, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(sd1, tmp_path, progress=killer(3))
    with pytest.raises(BadArgument, match="not finished"):
        load_erasure(tmp_path)


def test_run_json_tells_what_the_run_is_of_and_what_came_out(whole: ErasureResult) -> None:
    content = json.loads(whole.files["run"].read_text())
    assert content["identity"]["method"] == {"name": "Nudge", "settings": {"amount": 4.0}}
    assert content["identity"]["concept"][0]["text"] == "church"
    assert content["about"]["versions"]["torch"]
    assert content["results"]["erased"]["before"]["n"] == 4
    assert content["about"]["edit"] == whole.edit.id
    assert set(content["seconds"]) == {"erase", "before", "after"}


def test_edits_that_are_on_stay_on(sd1: Model, whole: ErasureResult, tmp_path: Path) -> None:
    with whole.edit.on(sd1):
        result = run(sd1, tmp_path, method=Nudge(0.125))
        assert list(sd1.edits or [whole.edit]) == [whole.edit]
    assert _furthest(result.before.images["a church", 1], whole.after.images["a church", 1]) <= 2


def _furthest(a: Any, b: Any) -> int:
    return max(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
