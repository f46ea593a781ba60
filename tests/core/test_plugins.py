import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

import turpentine
from turpentine.core import plugins as registry
from turpentine.core.plugins import method, methods


@dataclass(frozen=True)
class Foreign:
    strength: float = 1.0

    def __call__(self, model, concept):
        return None


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_methods", {})
    monkeypatch.setattr(registry, "PACKAGES", ())
    registry._discover.cache_clear()
    yield
    registry._discover.cache_clear()


def test_a_method_is_found_by_its_name():
    method(Foreign)
    assert methods()["Foreign"] is Foreign
    assert turpentine.methods.Foreign is Foreign
    assert "Foreign" in dir(turpentine.methods)


def test_an_unknown_method_is_an_error_that_lists_what_there_is():
    method(Foreign)
    with pytest.raises(AttributeError, match="Foreign"):
        _ = turpentine.methods.Nothing


def test_what_is_no_method_is_refused():
    @dataclass
    class Thawed:
        def __call__(self):
            return None

    @dataclass(frozen=True)
    class Silent:
        strength: float = 1.0

    for wrong in (Thawed, Silent, object):
        with pytest.raises(TypeError, match="not a method"):
            method(wrong)


def test_a_name_is_taken_once():
    method(Foreign)
    method(Foreign)
    other = dataclass(frozen=True)(type("Foreign", (), {"__call__": lambda self: None, "__module__": "elsewhere"}))
    with pytest.raises(TypeError, match="Two methods"):
        method(other)


def test_another_package_adds_a_method_by_an_entry_point(monkeypatch):
    point = EntryPoint("Foreign", f"{__name__}:Foreign", registry.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Foreign)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    assert methods()["Foreign"] is Foreign


def test_a_broken_plugin_is_a_warning_and_takes_nothing_away(monkeypatch):
    method(Foreign)
    point = EntryPoint("Broken", "no_such_package.anywhere:Broken", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.warns(UserWarning, match="no_such_package"):
        assert methods()["Foreign"] is Foreign


def test_importing_the_package_starts_no_torch():
    code = "import sys, turpentine; turpentine.Concept('a'); turpentine.methods; dir(turpentine); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "diffusers", "transformers", "numpy"} & set(loaded)
    assert "turpentine.concepts" in loaded


def test_a_name_that_the_package_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="paint"):
        _ = turpentine.paint
