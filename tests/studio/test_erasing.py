"""Locate, select layers, erase in them, and see what is gone; attack it; the card of an audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from studio.desk import LightJudge, counted, pushed, small_model, studio_on

from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.edits import Edit, load_change
from turpentine.models import Model
from turpentine.studio.attacking import attack_names, attack_rows
from turpentine.studio.erasing import METHODS, locating_rows, method_of
from turpentine.studio.session import Session
from turpentine.studio.state import PageState
from turpentine.studio.verdict_card import verdict_card


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def session(model: Model, tmp_path: Path) -> Session:
    return studio_on(model, tmp_path / "studio")


def test_locating_names_every_layer_and_the_ones_that_change_most(session: Session, model: Model) -> None:
    with counted(model) as rows:
        result = session.work("locate")
    assert rows == [locating_rows(model, session.state)]
    labels = [each["label"] for each in result["layers"]]
    assert labels == ["DOWN1", "MID", "UP1", "UP2"] and sorted(result["top"]) == sorted(labels)
    moved = {each["label"]: each["moved"] for each in result["layers"]}
    assert result["top"] == sorted(labels, key=lambda label: -moved[label])
    assert {each["lost"] for each in result["layers"]} == {0.0}  # its judge sees a church in everything


def test_it_erases_in_the_selected_layers_alone_and_puts_the_edit_on_the_stack(session: Session, model: Model) -> None:
    session.change(sites=("UP1",), method="uce")
    result = session.work("erase")
    (layer,) = session.state.layers
    edit = load_change(session.folder / "changes" / layer.file)
    assert isinstance(edit, Edit) and layer.id == result["edit"]
    inside = {name for site in model.sites.only(kind="cross-attention", label="UP1") for name in site.parameters}
    assert edit.names and set(edit.names) <= inside
    assert {row["group"] for row in result["rows"]} >= {"erased"} and len(result["rows"]) <= 8
    assert all(row["before"] != row["after"] and row["moved"] > 0 for row in result["rows"][:1])
    assert Path(result["file"]).is_file() and Path(result["report"]).is_file()
    assert Path(result["file"]).is_relative_to(session.folder)
    with counted(model) as rows:
        assert session.work("erase")["rows"] == result["rows"]
    assert rows == [0] and len(session.state.layers) == 1
    session.change(sites=("UP2",))
    assert not session.result("erase")["is_current"]  # type: ignore[index]


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"uce-aligned"}))  # which reads a world's captions
def test_each_method_takes_layers(name: str, model: Model) -> None:
    method = method_of(PageState(method=name, sites=("MID", "UP2"), updates=1, steps=2), model)
    assert method.sites == "MID,UP2"
    assert {site.split(".")[1][:3] for site in method(model, "church").names} <= {"mid", "up_"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"method": "cadd"}, "does not erase by 'cadd'"),
        ({"sites": ("UP7",)}, "no layer 'UP7'"),
        ({"concept": " "}, "concept is empty"),
    ],
)
def test_what_cannot_be_erased_is_said(fields: dict[str, Any], says: str, session: Session) -> None:
    session.change(**fields)
    with pytest.raises(TurpentineError, match=says):
        session.work("erase")
    assert session.state.layers == ()


def test_an_attack_stands_beside_its_controls_within_its_budget(session: Session, model: Model) -> None:
    session.put_on(pushed(model))
    session.change(attack="seed-search", budget=40)
    with counted(model) as rows:
        result = session.work("attack")
    assert rows[0] <= attack_rows(session.state)
    assert [each["arm"] for each in result["rates"]] == ["edited", "original", "only hidden"]
    assert all("%" in each["plain"] and "%" in each["attacked"] for each in result["rates"])
    assert len(result["pictures"]) == 2 and Path(result["report"]).is_file()
    with counted(model) as rows:
        assert session.work("attack")["rates"] == result["rates"]
    assert rows == [0]


def test_what_cannot_be_attacked_is_said(session: Session, model: Model, tmp_path: Path) -> None:
    session.change(attack="nothing")
    with pytest.raises(BadArgument, match="no attack 'nothing'"):
        session.work("attack")
    session.change(attack="seed-search", budget=1)
    with pytest.raises(BadArgument, match="does not reach for one try"):
        session.work("attack")
    blind = studio_on(model, tmp_path / "blind", judge=None)
    with pytest.raises(BadArgument, match=r"no judge.*--by"):
        blind.work("attack")
    dark = studio_on(model, tmp_path / "dark", judge=LightJudge(256.0))
    with pytest.raises(BadArgument, match=r"does not draw|church"):
        dark.work("attack")
    assert attack_names().index("seed-search") < attack_names().index("p4d") and "prompt-list" not in attack_names()


AUDIT: dict[str, Any] = {
    "title": "church in emoji",
    "verdict": "hidden",
    "reasons": ["By name it comes in 0 of 20.", "cce brings it back in 18 of 20."],
    "rates": [{"attack": "no attack", "arm": "edited", "hits": 0, "n": 20, "rate": 0.0, "low": 0.0, "high": 0.16}],
    "depth": {"score": 0.25, "modules": []},
    "not_tried": "No person looked.",
    "protocol": {"arms": {"edited": {"changes": []}}},
    "protocol_sha256": "ab" * 32,
}


def test_the_card_of_an_audit_is_read_from_its_file_or_folder(session: Session, model: Model, tmp_path: Path) -> None:
    assert session.verdict() is None
    (tmp_path / "audit.json").write_text(json.dumps(AUDIT))
    session.change(audit=str(tmp_path))
    card = session.verdict()
    assert card is not None and card["verdict"] == "hidden" and card["is_of_stack"]
    assert card["rows"] == [["no attack", "0\u202f% (0\u202f% to 16\u202f%) of 20"]]
    session.put_on(pushed(model))
    assert not session.verdict()["is_of_stack"]  # type: ignore[index]
    assert verdict_card(str(tmp_path / "audit.json"))["depth"] == 0.25


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"verdict": "gone"}', json.dumps({**AUDIT, "rates": [1]})])
def test_what_is_no_audit_is_said(content: str, tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(BadArgument, match="is no audit, or is damaged"):
        verdict_card(str(tmp_path))
    with pytest.raises(BadArgument, match="There is no audit at"):
        verdict_card(str(tmp_path / "nowhere"))
    with pytest.raises(BadArgument, match="There is no audit at"):
        verdict_card("  ")
