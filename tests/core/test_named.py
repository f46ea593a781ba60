from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from turpentine.core.errors import UnknownName
from turpentine.core.named import NamedMethod, find_named, named_methods
from turpentine.core.suggest import offer


@dataclass(frozen=True)
class Rubbing:
    """Rub a concept
    out.

    sites: where. passes: how often.
    """

    sites: str = "x"
    passes: int = 3

    @classmethod
    def preset(cls, model_name: str, **changes: Any) -> Rubbing:
        return cls(**{**({"passes": 1} if model_name == "emoji" else {}), **changes})


def test_defaults_are_those_for_the_model() -> None:
    named = NamedMethod("rubbing-u", Rubbing, "rubbing", {"sites": "u"})
    assert named.defaults("emoji") == Rubbing(sites="u", passes=1)
    assert named.defaults("another/model") == Rubbing(sites="u", passes=3)


def test_a_method_is_told_in_a_line_and_a_variant_by_what_it_sets() -> None:
    assert NamedMethod("rubbing", Rubbing).what == "Rub a concept out."
    assert NamedMethod("rubbing-u", Rubbing, "rubbing", {"sites": "u"}).what == "rubbing with sites u"


def test_esd_and_its_variants_have_names() -> None:
    known = named_methods()
    assert {"esd", "esd-x", "esd-x-strict", "esd-u", "esd-selfattn", "esd-all"} <= known.keys()
    assert known["esd-u"].defaults("emoji").sites == "u"


@pytest.mark.parametrize(
    ("asked", "offered"), [("esd-y", "did you mean .*'esd-x'"), ("esdx", "'esd-x'"), ("nonsense", "there are .*esd-u")]
)
def test_an_unknown_method_is_refused_with_the_nearest_names_or_all(asked: str, offered: str) -> None:
    with pytest.raises(UnknownName, match=rf"'{asked}'.*{offered}"):
        find_named(asked)


def test_where_there_is_nothing_nothing_is_offered() -> None:
    assert offer("church", []) == "there is none."
