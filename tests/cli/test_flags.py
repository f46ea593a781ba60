from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

import pytest

from turpentine.cli.flags import flags_of, with_flags
from turpentine.cli.help_text import descriptions
from turpentine.core.plugins import METHODS, Plugin, find, plugins
from turpentine.core.settings import Count
from turpentine.explain.maps import Maps
from turpentine.models import Sites


@dataclasses.dataclass(frozen=True)
class Rubbing:
    """Rub a concept out.

    Args:
        sites: Where.
        passes: How often.
    """

    sites: str | Sites = "x"
    passes: Count = 3
    basis: Sites | None = None
    window: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def preset(cls, model_name: str, **changes: Any) -> Rubbing:
        return cls(**{**({"passes": 1} if model_name == "emoji" else {}), **changes})


def test_flags_are_the_fields_with_their_values_and_texts() -> None:
    flags = flags_of(Rubbing(passes=5))
    assert vars(flags()) == {"sites": "x", "passes": 5, "window": (0.0, 1.0)}
    hint = get_type_hints(flags, include_extras=True)["passes"]
    assert hint.__metadata__[-1].help == "How often. 1 or more."
    w = get_type_hints(flags_of(Maps()), include_extras=True)["guidance_scale"].__metadata__[-1].help
    assert w.endswith("4 in the emoji world.")  # and not: or none


def test_flags_go_back_into_the_method() -> None:
    method = Rubbing(basis=Sites((), ()))
    flags = dataclasses.replace(flags_of(method)(), passes=7)
    assert with_flags(method, flags) == dataclasses.replace(method, passes=7)


def test_a_flag_refuses_what_its_field_does_not_allow() -> None:
    flags = flags_of(Rubbing())
    hint = get_type_hints(flags, include_extras=True)["passes"]
    (validate,) = (each.validator for each in hint.__metadata__ if hasattr(each, "validator"))
    validate[0](int, 1)
    with pytest.raises(ValueError, match="Give 1 or more"):
        validate[0](int, 0)


def test_the_defaults_for_a_folder_are_those_for_the_model_in_it(tiny_folder: str) -> None:
    named = find("esd-x")
    assert named.defaults(tiny_folder) == named.defaults("emoji") != named.defaults("another/model")


@pytest.mark.parametrize("plugin", plugins(METHODS).values(), ids=lambda plugin: plugin.name)
def test_every_setting_of_every_method_is_described(plugin: Plugin) -> None:
    fields = {field.name for field in dataclasses.fields(plugin.load())}
    assert descriptions(plugin.load().__doc__, fields).keys() == fields
