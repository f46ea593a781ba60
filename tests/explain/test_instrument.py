"""What an instrument's signature says; and that asking for one imports no other, and no matplotlib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from turpentine.core.plugins import plugins
from turpentine.explain.entangle import Entangle
from turpentine.explain.instrument import Instrument, input_of, parameters, progress_unit, takes
from turpentine.explain.segment import Segment
from turpentine.explain.trace import Trace

SHARED = {"concept-attention": "MapsFinding"}
"""What two instruments find is of one kind."""
COMMON = {"concept", "judge", "label", "size", "cache", "progress"}


@pytest.mark.parametrize("plugin", plugins("instrument").values(), ids=lambda plugin: plugin.name)
def test_names_line_up_and_keywords_mean_the_same(plugin) -> None:
    module, _, name = plugin.target.partition(":")
    assert module == f"turpentine.explain.{plugin.name.replace('-', '_')}"
    assert name.lower() == plugin.name.replace("-", "")
    instrument = plugin.load()
    assert hasattr(sys.modules[module], SHARED.get(plugin.name, f"{name}Finding"))
    assert issubclass(instrument, Instrument)
    keywords = {each.name for each in parameters(instrument).values() if each.kind is each.KEYWORD_ONLY}
    assert keywords <= COMMON | {"truths", "names"}


def test_the_signature_says_what_is_needed() -> None:
    assert list(parameters(Trace))[:2] == ["prompts", "seeds"] and takes(Trace, "cache") and not takes(Segment, "cache")
    assert parameters(Trace)["judge"].default is parameters(Trace)["judge"].empty
    assert input_of(Trace) == ("prompts", None) and input_of(Segment) == ("images", None)
    name, form = input_of(Entangle)
    assert name == "objects" and form is not None
    assert form.words(form.read(["dog=cat,church"])) == ["dog", "cat", "church"]
    assert (progress_unit(Trace), progress_unit(Entangle)) == ("pictures", "steps")


def test_an_instrument_is_fetched_alone_and_draws_nothing_yet() -> None:
    code = (
        "import sys, turpentine.explain as explain; explain.Clock, explain.ClockFinding; "
        "print([name for name in sys.modules if name.startswith(('matplotlib', 'turpentine.explain.'))])"
    )
    source = Path(__file__).parents[2] / "src"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(source)}
    ).stdout
    assert "turpentine.explain.clock" in loaded
    assert "matplotlib" not in loaded and "explain.trace" not in loaded
