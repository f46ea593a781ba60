"""The studio without its page: the stack, its pictures, what is stored, windows beside each other, and refusals."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from studio.desk import BIAS, LightJudge, counted, pushed, small_model, studio_on

from turpentine.core.errors import BadArgument, EditError, TurpentineError, WrongBase
from turpentine.core.plugins import find
from turpentine.edits import Edit, Provenance, load_change
from turpentine.models import Model
from turpentine.studio import requests
from turpentine.studio.first_state import first_state
from turpentine.studio.panels import region
from turpentine.studio.session import CHANGES, Session
from turpentine.studio.state import FILE
from turpentine.testing.state import weights_hash


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def session(model: Model, tmp_path: Path) -> Session:
    return studio_on(model, tmp_path / "studio")


def test_a_new_page_draws_as_the_family_does_and_the_worlds_quickly(tmp_path: Path) -> None:
    large = small_model()
    assert (first_state(large).steps, first_state(large).guidance_scale) == (10, 4.0)
    large.family.latent = replace(large.family.latent, height=512, width=512)
    first, state = first_state(large), studio_on(large, tmp_path).state
    assert (first.steps, state.steps, state.guidance_scale) == (50, 2, 7.5)


def pictures(session: Session) -> dict[str, str]:
    return {column.name: column.picture for column in session.draw()}


def test_a_slider_changes_the_picture_and_0_is_the_model_bit_by_bit(session: Session, model: Model) -> None:
    before = weights_hash(model)
    layer = session.put_on(pushed(model))
    full = pictures(session)
    assert full["edited"] != full["original"]
    for scale in (-1, 0.5, 2):
        session.scale(layer.id, scale)
        assert pictures(session)["edited"] not in full.values()
    session.scale(layer.id, 0)
    assert pictures(session) == dict.fromkeys(("original", "edited"), full["original"])
    session.scale(layer.id, 1)
    assert pictures(session) == full
    session.take_off(layer.id)
    assert pictures(session)["edited"] == full["original"]
    assert weights_hash(model) == before and not model.edits


def test_the_edited_picture_is_what_the_package_draws_with_the_same_stack(session: Session, model: Model) -> None:
    edit = pushed(model)
    session.put_on(edit, 0.5)
    session.guide("negative-prompt", "dog")
    change = find("negative-prompt", "erase").defaults()(model, "dog")
    with edit.scaled(0.5).on(model), change.on(model):
        expected = model.generate("a church", seeds=0, steps=2)
    session.draw()
    assert [layer.kind for layer in session.state.layers] == ["edit", "guidance"]
    state = session.state
    with session.victim().on():
        drawn = session._picture(model, state)
    assert drawn.tobytes() == expected[0].tobytes()


def test_only_what_is_new_is_drawn(session: Session, model: Model) -> None:
    layer = session.put_on(pushed(model))
    expected = [(1, 8), (1, 0), (0.5, 4), (0, 0), (0.5, 0), (1, 0)]
    for scale, rows in expected:
        session.scale(layer.id, scale)
        with counted(model) as done:
            session.draw()
        assert done == [rows], scale


def test_it_is_all_there_again_in_the_same_folder(session: Session, model: Model) -> None:
    layer = session.put_on(pushed(model), -0.25)
    session.change(prompt="a dog", seed=3, concept="dog", sites=("UP1",))
    columns = session.draw()
    again = studio_on(model, session.folder)
    assert again.state == session.state and again.notice == ""
    with counted(model) as rows:
        assert again.draw() == columns
    assert rows == [0] and load_change(session.folder / CHANGES / layer.file) == pushed(model)


def test_the_oracle_is_the_third_column_of_the_same_seed(model: Model, tmp_path: Path) -> None:
    oracle = small_model()
    with torch.no_grad():
        oracle.parameter(BIAS).add_(0.5)
    session = studio_on(model, tmp_path, oracle=oracle)
    session.put_on(pushed(model))
    original, edited, third = session.draw()
    assert third.name == "oracle" and third.picture == edited.picture != original.picture
    assert third.moved and third.moved == edited.moved and original.moved is None
    assert {column.sees for column in session.draw()} == {"church"}


def test_the_stack_is_saved_as_one_edit_that_draws_the_same(session: Session, model: Model) -> None:
    session.put_on(pushed(model), 0.5)
    other = Edit({"unet.conv_in.bias": torch.ones_like(model.parameter("unet.conv_in.bias"))})
    session.put_on(other, -1)
    saved = Edit.load(session.save("Both, at once"))
    assert (session.folder / "both-at-once.safetensors").is_file()
    with saved.on(model):
        merged = model.generate("a church", seeds=0, steps=2)[0]
    with session.victim().on():
        stacked = model.generate("a church", seeds=0, steps=2)[0]
    assert merged.tobytes() == stacked.tobytes()
    with pytest.raises(TurpentineError, match="exists already"):
        session.save("Both, at once")


def test_what_cannot_be_saved_is_said(session: Session, model: Model) -> None:
    with pytest.raises(EditError, match="nothing on the stack to save"):
        session.save("x")
    layer = session.guide("negative-prompt", "dog")
    with pytest.raises(EditError, match=rf"changes no weight.*{layer.file}"):
        session.save("x")
    session.scale(layer.id, 0)
    session.put_on(pushed(model))
    with pytest.raises(EditError, match="no name"):
        session.save("  ")
    assert session.save("x").is_file()


def test_what_does_not_fit_is_said_and_changes_nothing(session: Session, model: Model, tmp_path: Path) -> None:
    before = session.state
    (tmp_path / "text.safetensors").write_text("no edit")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04")
    for path in ("", " ", "nowhere", "../nowhere", str(tmp_path / "text.safetensors"), str(tmp_path / "pickle.pt")):
        with pytest.raises(TurpentineError) as error:
            session.add(path)
        assert "\n" not in str(error.value) and str(error.value).endswith(".")
    with pytest.raises(WrongBase):
        session.put_on(Edit({BIAS: torch.ones(4)}, Provenance(base="0" * 64)))
    with pytest.raises(WrongBase):
        session.put_on(Edit({"unet.nowhere": torch.ones(4)}))
    with pytest.raises(BadArgument, match="makes no guidance"):
        session.guide("uce", "dog")
    with pytest.raises(TurpentineError, match="concept is empty"):
        session.guide("negative-prompt", " ")
    assert session.state == before and not (session.folder / CHANGES).exists()


def test_one_change_is_on_the_stack_once(session: Session, model: Model, tmp_path: Path) -> None:
    pushed(model).save(tmp_path / "push.safetensors")
    layer = session.add(str(tmp_path / "push.safetensors"))
    with pytest.raises(EditError, match="move its slider"):
        session.add(str(tmp_path / "push.safetensors"))
    assert session.add(str(tmp_path / "push.safetensors"), 0.5, again=True).scale == 0.5
    assert len(session.state.layers) == 1
    session.take_off(layer.id)
    with pytest.raises(BadArgument, match="another window took it off"):
        session.take_off(layer.id)
    with pytest.raises(BadArgument, match="another window took it off"):
        session.scale(layer.id, 1)


def test_a_filter_is_on_or_off(session: Session) -> None:
    change = find("prompt-filter", "erase").defaults()(session.model, "church")
    layer = session.put_on(change)
    assert layer.kind == "filter"
    with pytest.raises(BadArgument, match=r"cannot have the strength 0\.5"):
        session.scale(layer.id, 0.5)
    assert session.state.layer(layer.id).scale == 1


def test_windows_beside_each_other_lose_no_change(session: Session, model: Model) -> None:
    layers = [session.put_on(pushed(model, by)).id for by in (0.1, 0.2, 0.3)]
    before = session.state.revision

    def slide(number: int) -> None:
        session.scale(layers[number % 3], (number % 30) / 20)
        if number % 7 == 0:
            session.draw()

    with ThreadPoolExecutor(4) as windows:
        list(windows.map(slide, range(60)))
    assert session.state.revision == before + 60
    assert [layer.id for layer in session.state.layers] == layers
    assert studio_on(model, session.folder).state == session.state
    assert not model.edits


def test_nothing_is_written_outside_its_folder(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.font_manager  # noqa: F401  which keeps a cache in the home that it finds when it is imported

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    session = studio_on(model, tmp_path / "studio")
    session.put_on(pushed(model))
    session.draw()
    session.save("../../one")
    for panel in ("words", "layers", "dynamics", "locate", "erase", "attack"):
        session.work(panel)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "studio"] and (tmp_path / "studio" / FILE).is_file()


def test_words_that_the_model_does_not_know_are_said(session: Session) -> None:
    said = "zebra is a word that the model does not know: what it draws for it is chance."
    assert session.note("a zebra on a church") == said and session.note("a church") == ""
    for concept, text in (("zebra", said), ("church", "")):
        session.change(concept=concept)
        assert (said in region(session, "locate")) == bool(text)
    assert said in requests.act(session, {"do": "guide", "method": "sld-weak", "concept": "zebra"})["notice"]


def test_what_another_model_or_judge_came_to_is_not_shown_as_of_this_one(session: Session, model: Model) -> None:
    session.work("words")
    assert session.result("words")["is_current"]  # type: ignore[index]
    assert studio_on(model, session.folder).result("words")["is_current"]  # type: ignore[index]
    other = small_model()
    with torch.no_grad():
        other.parameter(BIAS).add_(0.1)
    assert not studio_on(other, session.folder).result("words")["is_current"]  # type: ignore[index]
    darker = studio_on(model, session.folder, judge=LightJudge(300.0))
    assert not darker.result("words")["is_current"]  # type: ignore[index]


def test_what_went_wrong_with_other_settings_is_not_shown_of_these(session: Session) -> None:
    session.change(attack="no-such-attack")
    session.begin("attack").join()
    assert "no-such-attack" in session.failures["attack"]
    session.change(on="original")  # which the attack does not ask
    assert "no-such-attack" in region(session, "attack")
    session.change(attack="seed-search")
    assert session.failures == {}
