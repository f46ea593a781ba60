from __future__ import annotations

import dataclasses
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from plugged import plug

import turpentine
from turpentine.core import plugins as registry
from turpentine.core.errors import BrokenPlugin, UnknownName
from turpentine.core.plugins import GROUPS, KINDS, METHODS, Plugin, find, find_class, plugins
from turpentine.core.suggest import offer


@dataclass(frozen=True)
class Foreign:
    """Rub a concept
    out.

    Args:
        sites: Where.
        passes: How often.
    """

    variants: ClassVar = {"foreign-u": {"sites": "u"}}

    sites: str = "x"
    passes: int = 3

    @classmethod
    def preset(cls, model_name: str, **changes: Any) -> Foreign:
        return cls(**{**({"passes": 1} if model_name == "emoji" else {}), **changes})

    def __call__(self, model: Any, concept: Any) -> None:
        return None


@dataclass
class Thawed:
    def __call__(self) -> None:
        return None


@dataclass(frozen=True)
class Silent:
    strength: float = 1.0


class Plain:
    pass


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "erase", foreign=Foreign, foreign_u=Foreign)


@pytest.mark.usefixtures("foreign")
def test_another_package_adds_a_method_by_an_entry_point() -> None:
    assert find("foreign", "erase").load() is Foreign
    assert turpentine.methods.Foreign is Foreign
    assert {"Foreign", "ESD"} <= set(dir(turpentine.methods))
    assert find_class("Foreign") == Plugin("foreign", "erase", f"{__name__}:Foreign")


@pytest.mark.usefixtures("foreign")
def test_an_unknown_method_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(AttributeError, match="Foreign"):
        _ = turpentine.methods.Nothing


@pytest.mark.usefixtures("foreign")
def test_defaults_are_those_for_the_model() -> None:
    plugin = find("foreign-u")
    assert plugin.defaults("emoji") == Foreign(sites="u", passes=1)
    assert plugin.defaults("another/model") == plugin.defaults() == Foreign(sites="u", passes=3)


@pytest.mark.usefixtures("foreign")
def test_a_method_is_described_in_a_line_and_a_variant_by_what_it_sets() -> None:
    assert find("foreign").summary == "Rub a concept out."
    assert find("foreign-u").summary == "foreign with sites u"


@pytest.mark.parametrize("wrong", [Thawed, Silent, Plain])
def test_what_is_no_plugin_is_refused(wrong: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "erase", wrong=wrong)
    with pytest.raises(BrokenPlugin, match=r"'wrong'.*is not a plug-in"):
        find("wrong").load()


def test_a_name_is_taken_once_and_ours_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "erase", esd_x=Foreign)
    with pytest.warns(UserWarning, match="Two plug-ins are called esd-x"):
        assert find("esd-x").class_name == "ESD"


def test_a_class_name_of_a_method_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "erase", other="elsewhere:ESD")
    with pytest.warns(UserWarning, match="Two plug-ins are called ESD"):
        assert "other" not in plugins()
    assert find_class("ESD").target == "turpentine.erase.esd:ESD"  # type: ignore[union-attr]


def test_a_broken_plugin_is_a_sentence_and_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "erase", broken="no_such_package.anywhere:Broken", foreign=Foreign)
    assert {"broken", "foreign", "esd"} <= plugins("erase").keys()
    assert find("foreign").load() is Foreign
    with pytest.raises(BrokenPlugin, match=r"'broken'.*no_such_package") as raised:
        find("broken").load()
    assert "\n" not in str(raised.value)


def test_without_an_installation_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    monkeypatch.setattr(registry, "_registered", registry._registered.__wrapped__)
    with pytest.warns(UserWarning, match="install it"):
        assert plugins() == {}


def test_ours_are_those_of_the_project_file() -> None:
    """An installation from before an entry point was added lacks it: install again."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    groups = tomllib.loads(text)["project"]["entry-points"]
    for kind, group in GROUPS.items():
        ours = {each.name: each.target for each in plugins(kind).values() if each.target.startswith("turpentine.")}
        assert ours == groups.get(group, {})


@pytest.mark.parametrize("plugin", plugins().values(), ids=lambda each: each.name)
def test_ours_load_and_own_their_names(plugin: Plugin) -> None:
    cls = plugin.load()
    assert cls.__module__ == plugin.target.partition(":")[0]
    assert plugin.name == cls.name or plugin.name in cls.variants
    assert plugin.summary


def test_esd_and_its_variants_have_names() -> None:
    known = plugins("erase")
    assert {"esd", "esd-x", "esd-x-strict", "esd-u", "esd-selfattn", "esd-all"} <= known.keys()
    assert known["esd-u"].defaults("emoji").sites == "u"


def test_every_variant_of_a_class_is_listed() -> None:
    for plugin in plugins(METHODS).values():
        assert getattr(plugin.load(), "variants", {}).keys() <= plugins(plugin.kind).keys()


@pytest.mark.parametrize(
    ("name", "offered"), [("esd-y", "did you mean .*'esd-x'"), ("esdx", "'esd-x'"), ("nonsense", "there are .*esd-u")]
)
def test_an_unknown_name_is_refused_with_the_nearest_names_or_all(name: str, offered: str) -> None:
    with pytest.raises(UnknownName, match=rf"No method is called '{name}'.*{offered}"):
        find(name, "erase")


@pytest.mark.parametrize(
    ("name", "kind", "instead"),
    [
        ("cad-amplify", "erase", r"cad-amplify amplifies: use `turpentine amplify`\."),
        ("esd-x", "amplify", r"esd-x erases: use `turpentine erase`\."),
        ("clip", METHODS, r"clip is a judge"),
    ],
)
def test_a_name_of_another_kind_says_what_it_is_for(name: str, kind: Any, instead: str) -> None:
    with pytest.raises(UnknownName, match=instead):
        find(name, kind)


def test_kinds_part_the_plugins() -> None:
    assert dict(plugins()) == {name: each for kind in KINDS for name, each in plugins(kind).items()}
    assert "cad-amplify" in plugins("amplify") and "cad-amplify" not in plugins("erase")


def test_where_there_is_nothing_nothing_is_offered() -> None:
    assert offer("church", []) == "there is none."


def test_importing_the_package_starts_no_torch() -> None:
    code = "import sys, turpentine; turpentine.Concept('a'); turpentine.methods; dir(turpentine); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "diffusers", "transformers", "numpy"} & set(loaded)
    assert "turpentine.concepts" in loaded


def test_a_name_that_the_package_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="paint"):
        _ = turpentine.paint


def test_what_a_class_takes_is_read_from_its_source() -> None:
    written = plugins("instrument")["trace"].written
    assert written["where"] == ("Literal['denoiser', 'text']", False)
    assert written["concept"].is_required and not written["steps"].is_required
    for plugin in plugins("instrument").values():
        fields = {field.name for field in dataclasses.fields(plugin.load())}
        assert fields <= plugin.written.keys(), plugin.name


def test_of_a_class_without_a_source_or_with_another_base_nothing_is_known() -> None:
    assert Plugin("x", "method", "nowhere:X").written == {}
    assert Plugin("x", "judge", "turpentine.judges.clip:ClipScore").written == {}
