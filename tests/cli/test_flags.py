from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pytest

from turpentine.cli.flags import flags_of, with_flags
from turpentine.cli.help_text import descriptions
from turpentine.core.named import NamedMethod, find_named, named_methods, speakable
from turpentine.models import Sites


@dataclasses.dataclass(frozen=True)
class Rubbing:
    """Rub a concept out.

    sites: where. passes: how often, 1 or more.
    """

    sites: str | Sites = "x"
    passes: int = 3
    basis: Sites | None = None
    window: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def preset(cls, model_name: str, **changes: Any) -> Rubbing:
        return cls(**{**({"passes": 1} if model_name == "emoji" else {}), **changes})


@pytest.mark.parametrize(
    ("hint", "spoken"),
    [
        (int, int),
        (Path, Path),
        (str | Sites, str),
        (float | None, float | None),
        (Literal["a", "b"], Literal["a", "b"]),
        (tuple[float, float], tuple[float, float]),
        (tuple[str, ...], tuple[str, ...]),
        (Sites, None),
        (Sites | None, None),
        (tuple[Sites, ...], None),
        (dict[str, int], None),
    ],
)
def test_only_what_can_be_written_becomes_a_flag(hint: Any, spoken: Any) -> None:
    assert speakable(hint) == spoken


def test_flags_are_the_fields_with_their_values_and_texts() -> None:
    flags = flags_of(Rubbing(passes=5))
    assert vars(flags()) == {"sites": "x", "passes": 5, "window": (0.0, 1.0)}
    hint = get_type_hints(flags, include_extras=True)["passes"]
    assert hint.__metadata__[0].help == "How often, 1 or more."


def test_flags_go_back_into_the_method() -> None:
    method = Rubbing(basis=Sites((), ()))
    flags = dataclasses.replace(flags_of(method)(), passes=7)
    assert with_flags(method, flags) == dataclasses.replace(method, passes=7)


def test_the_defaults_for_a_folder_are_those_for_the_model_in_it(tiny_folder: str) -> None:
    named = find_named("esd-x")
    assert named.defaults(tiny_folder) == named.defaults("emoji") != named.defaults("another/model")


@pytest.mark.parametrize("named", named_methods().values(), ids=lambda named: named.name)
def test_every_setting_of_every_method_is_described(named: NamedMethod) -> None:
    fields = {field.name for field in dataclasses.fields(named.method)}
    assert descriptions(named.method.__doc__, fields).keys() == fields


def test_annotated_types_are_seen_through() -> None:
    assert speakable(Annotated[int, "note"]) == Annotated[int, "note"]
    assert speakable(Annotated[Sites, "note"]) is None
