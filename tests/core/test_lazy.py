"""Names that are imported when they are first used, and the rooms of `turpentine` that offer plug-ins by them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from plugged import plug

import turpentine as tp
from turpentine.core.plugins import GROUPS, plugins


@dataclass(frozen=True)
class Prod:
    """Prod it."""

    def __call__(self) -> None:
        pass


ROOMS = {"erase": tp.erase, "amplify": tp.amplify, "attack": tp.attack, "instrument": tp.explain, "judge": tp.judges}


@pytest.mark.parametrize("kind", GROUPS)
def test_each_kind_of_plug_in_is_offered_by_its_room(kind: str) -> None:
    room = ROOMS[kind]
    for plugin in plugins(kind).values():
        assert getattr(room, plugin.class_name) is plugin.load()
        assert plugin.class_name in dir(room)
    with pytest.raises(AttributeError, match=f"{room.__name__} has no 'Nothing': there are "):
        _ = room.Nothing
    assert not [name for name in dir(room) if name.startswith("_")], "what completion offers is public"


def test_a_plug_in_of_another_kind_is_not_offered() -> None:
    assert not hasattr(tp.erase, "CADAmplify") and not hasattr(tp.amplify, "ESD")
    assert {"ESD", "CADAmplify"} <= set(dir(tp.methods))


def test_findings_come_from_their_instruments_module() -> None:
    assert tp.explain.TraceFinding.__module__ == "turpentine.explain.trace"
    assert tp.explain.Finding.__name__ == "Finding", "a name of its own comes first"


def test_an_attack_of_another_package_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "attack", prod=Prod)
    assert tp.attack.Prod is Prod and {"Prod", "CCE", "Attack"} <= set(dir(tp.attack))


def test_the_package_offers_its_rooms() -> None:
    assert {"erase", "amplify", "attack", "explain", "judges", "edits", "methods"} <= set(dir(tp))
    assert tp.edits.Edit is tp.Edit
