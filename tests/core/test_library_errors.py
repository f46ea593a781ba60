"""What libraries raise, really raised by them, as a phrase; what is nobody's input stays a bug."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from huggingface_hub.errors import OfflineModeIsEnabled
from PIL import Image
from safetensors import safe_open

from turpentine.core.library_errors import first_line, is_of_the_machine, is_unreachable, reason

RAISED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "safetensors": (lambda path: safe_open(path, framework="np"), "a .safetensors file is damaged or is none"),
    "parquet": (pq.read_table, "a table's file cannot be read"),
    "polars": (lambda path: pl.read_parquet(path), "a table's file cannot be read"),
    "pillow": (Image.open, "a picture cannot be read"),
    "text": (lambda path: path.read_text(encoding="utf-8"), "a text is not in UTF-8"),
    "surrogate": (lambda _: "\udc80".encode(), "a text holds a sign that cannot be written"),
    "jinja": (lambda _: jinja2.Template("{% if"), "a page cannot be made"),
    "yaml": (lambda _: yaml.safe_load(io.StringIO("[")), "a text is no YAML"),
    "device": (lambda _: torch.empty(1, device="cuda:77"), "torch has no such device here"),
}


@pytest.mark.parametrize("library", RAISED)
def test_what_a_library_raises_is_a_phrase(library: str, tmp_path: Path) -> None:
    call, phrase = RAISED[library]
    path = tmp_path / "noise"
    path.write_bytes(bytes(range(255, -1, -1)) * 4)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call(path)
    text = reason(caught.value)
    assert text is not None and text.startswith(phrase)
    assert "\n" not in text and not text.endswith(".")


@pytest.mark.parametrize(
    "error",
    [
        OfflineModeIsEnabled("offline mode is enabled"),
        OSError("We couldn't connect to 'https://huggingface.co' to load the files"),
        RuntimeError("Cannot send a request, as the client has been closed."),
    ],
)
def test_a_network_that_is_not_there_is_known_by_what_is_said_of_it(error: Exception) -> None:
    assert is_unreachable(error)
    assert reason(error) == "the Hugging Face hub cannot be reached from here"


def test_a_bug_has_no_reason_and_a_full_machine_is_for_others_to_explain() -> None:
    for bug in (ZeroDivisionError(), KeyError("x"), AttributeError("x"), RuntimeError("x")):
        assert reason(bug) is None and not is_unreachable(bug)
    assert is_of_the_machine(MemoryError()) and is_of_the_machine(OSError(28, "No space left on device"))
    assert first_line(ValueError("\n one \n two")) == "one" and first_line(ValueError()) == "ValueError"
