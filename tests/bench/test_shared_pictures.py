"""Pictures that runs share: whole, of the same threads, and never what is damaged or failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.stubs import CASES, QUICK, Nudge, StubJudge

from turpentine.bench import Erasure, ErasureResult, run_erasure
from turpentine.concepts import Concept
from turpentine.core.parts import DamagedPart
from turpentine.models import Model, count_rows

CHURCH = Concept("church")
ROWS = 3 * 2 * QUICK.steps * 2  # of a model's pictures


def run(model: Model, folder: Path, name: str, method: object = None, **settings: object) -> tuple[ErasureResult, int]:
    """A run with its pictures shared, and the rows of the denoiser that it took."""
    erasure = Erasure(CHURCH, method or Nudge(), QUICK, StubJudge(), settings.pop("cases", CASES))
    with count_rows(model) as count:
        result = run_erasure(model, erasure, folder / name, shared=folder / "shared", **settings)
    return result, count.rows


def test_the_second_run_draws_its_edited_pictures_only_and_comes_to_the_same(sd1: Model, tmp_path: Path) -> None:
    first, rows = run(sd1, tmp_path, "first")
    assert rows == 2 * ROWS
    second, rows = run(sd1, tmp_path, "second")
    assert rows == ROWS
    assert second.rows.equals(first.rows)
    assert run(sd1, tmp_path, "first", force=True)[1] == ROWS
    # Each folder is whole by itself.
    for path in (tmp_path / "shared").rglob("*.*"):
        path.unlink()
    assert run(sd1, tmp_path, "second")[0].before.images.keys() == first.before.images.keys()


def test_pictures_of_another_number_of_threads_are_others(sd1: Model, tmp_path: Path) -> None:
    rows = ROWS // 3  # of one prompt
    run(sd1, tmp_path, "one", threads=1, cases=CASES[:1])
    assert run(sd1, tmp_path, "two", threads=2, cases=CASES[:1])[1] == 2 * rows
    assert run(sd1, tmp_path, "again", threads=2, cases=CASES[:1])[1] == rows


def test_a_damaged_shared_picture_is_drawn_anew(sd1: Model, tmp_path: Path) -> None:
    first, _ = run(sd1, tmp_path, "first")
    picture = next((tmp_path / "shared").rglob("*.png"))
    content = bytearray(picture.read_bytes())
    picture.unlink()  # it is a link: the first run's own stays
    content[-20] ^= 1
    picture.write_bytes(content)
    with pytest.warns(DamagedPart):
        second, rows = run(sd1, tmp_path, "second")
    assert ROWS < rows <= 2 * ROWS
    assert second.rows.equals(first.rows)
    assert run(sd1, tmp_path, "third")[1] == ROWS
