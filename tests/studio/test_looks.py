"""What the page shows of a picture, and long work: its rows, a stop, and going on."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from studio.desk import counted, pushed, small_model, studio_on

from turpentine.core.errors import BadArgument
from turpentine.explain import Intervene
from turpentine.models import Model
from turpentine.studio.looks import LAYERS_AT_ONCE, labels_of, layer_letters, shade
from turpentine.studio.session import Session
from turpentine.studio.work import LongWork, Stopped


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def session(model: Model, tmp_path: Path) -> Session:
    return studio_on(model, tmp_path)


def _cell(result: dict[str, Any], code: str) -> Image.Image:
    return opened(result["cells"][code]["picture"])


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_shade_is_clear_where_a_word_is_read_most() -> None:
    heat = np.array([[0.0, 1.0], [2.0, 4.0]])
    alpha = np.asarray(shade(heat, (2, 2)))[..., 3]
    assert alpha.tolist() == [[219, 164], [110, 0]]
    assert np.asarray(shade(np.zeros((2, 2)), (2, 2)))[..., 3].max() == 0  # nothing stands out: nothing is hidden


def test_the_words_have_a_shade_each_over_the_picture_that_the_page_draws(session: Session, model: Model) -> None:
    drawn = session.draw()[1].picture
    with counted(model) as rows:
        result = session.work("words")
    assert rows == [result["rows_drawn"]] == [session.rows("words")] == [4]
    assert [each["word"] for each in result["words"]] == ["a", "church"]
    assert opened(result["picture"]).tobytes() == opened(drawn).tobytes()
    assert all(opened(each["shade"]).size == (16, 16) for each in result["words"])
    assert result["first"] == 1 and "“church” ranks" in result["summary"]
    assert session.result("words") == {**result, "is_current": True}


def test_a_damaged_result_is_none(session: Session) -> None:
    session.work("words")
    (file,) = (session.folder / "results").iterdir()
    for content in (b"", b"[]", file.read_bytes()[:-40]):
        file.write_bytes(content)
        with pytest.warns(UserWarning, match="damaged"):
            assert session.result("words") is None
        session.work("words")


def test_a_prompt_without_a_word_is_said(session: Session) -> None:
    session.change(prompt="")
    with pytest.raises(BadArgument, match="no word to map"):
        session.work("words")
    assert session.desk.job is None


def test_a_cell_is_the_picture_without_that_layer_in_that_part(session: Session, model: Model) -> None:
    session.change(steps=4, seed=5)
    result = session.work("layers")
    assert set(result["cells"]) == set(layer_letters(labels_of(model))) and result["labels"] == labels_of(model)
    code = f"q3:{labels_of(model)[0]}"
    finding = Intervene(letters=(code,), steps=4)(model, "a church", 5)
    shown, expected = (
        np.asarray(each.convert("RGB"), dtype=int) for each in (_cell(result, code), finding.images[code][0])
    )
    assert np.abs(shown - expected).max() <= 2  # other layers share the denoiser's calls
    layout = finding.table.filter(letters=code, measure="layout")["value"][0]
    assert result["cells"][code]["lost"] == pytest.approx(1 - layout, abs=0.02)


def test_looks_are_of_the_model_as_it_is_or_with_the_stack(session: Session, model: Model) -> None:
    session.put_on(pushed(model))
    original, edited = session.draw()
    session.change(on="edited")
    assert opened(session.work("dynamics")["strip"][-1]).tobytes() == opened(edited.picture).tobytes()
    session.change(on="original")
    assert not session.result("dynamics")["is_current"]  # type: ignore[index]
    result = session.work("dynamics")
    assert opened(result["strip"][-1]).tobytes() == opened(original.picture).tobytes()
    assert len(result["strip"]) == len(result["change"]) == len(result["words"]) == 2


def test_a_stop_leaves_what_is_finished_and_the_next_run_goes_on(
    session: Session, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = studio_on(model, session.folder / "whole").work("layers")
    first = 4 * LAYERS_AT_ONCE  # rows, with which not all layers are done
    before = LongWork._before

    def stopping(job: LongWork, *args: object) -> None:
        if job.done >= first:
            job.stop()
        before(job, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(LongWork, "_before", stopping)
        with pytest.raises(Stopped):
            session.work("layers")
    assert session.result("layers") is None and session.desk.job is None and not model.edits
    result = session.work("layers")
    assert result["rows_drawn"] < whole["rows_drawn"]
    assert {**result, "rows_drawn": 0} == {**whole, "rows_drawn": 0}


def test_work_in_the_background_is_stopped_from_another_window(session: Session, model: Model) -> None:
    session.change(steps=50)
    begun = threading.Event()
    hook = model.denoiser.register_forward_pre_hook(lambda *_: begun.set())
    thread = session.begin("layers")
    assert session.desk.job is not None and session.desk.job.name == "layers"
    assert begun.wait(60)
    session.desk.stop()
    thread.join(60)
    hook.remove()
    assert not thread.is_alive() and session.failures["layers"].startswith("Stopped.")
    with pytest.raises(BadArgument, match="no 'colours'"):
        session.work("colours")
