"""The studio's state: what it may hold, its file, and what it says of what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turpentine.core.errors import BadArgument
from turpentine.studio.state import DAMAGED, FILE, PageState, StackEntry, read_state, write_state

LAYER = {"id": "0123456789ab", "title": "uce of church", "kind": "edit"}


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = PageState().changed(prompt="a café 教", seed=7, layers=(StackEntry(**LAYER, scale=-0.5),), sites=("UP1",))
    write_state(tmp_path, state)
    assert read_state(tmp_path, PageState()) == (state, "")
    assert read_state(tmp_path / "elsewhere", PageState(steps=3))[0].steps == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"seed": -1}', b'{"unknown": 1}', b"\xff"])
def test_a_damaged_file_is_put_aside_and_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    state, text = read_state(tmp_path, PageState(prompt="anew"))
    assert state.prompt == "anew" and DAMAGED in text and text.endswith(".")
    assert (tmp_path / DAMAGED).read_bytes() == content and not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seed": -1}, "The seed -1 cannot be"),
        ({"seed": 1.5}, "The seed 1.5 cannot be"),
        ({"seed": 2**32}, "The seed 4294967296 cannot be"),
        ({"steps": 0}, "The steps 0 cannot be"),
        ({"steps": "x"}, "The steps 'x' cannot be"),
        ({"guidance_scale": float("nan")}, "The guidance nan cannot be"),
        ({"prompt": "a" * 1001}, "The prompt 'aaa"),
        ({"on": "oracle"}, "The on 'oracle' cannot be"),
        ({"layers": [{**LAYER, "scale": 2.5}]}, "The scale 2.5 cannot be"),
        ({"layers": [{**LAYER, "scale": float("inf")}]}, "The scale inf cannot be"),
        ({"layers": [{**LAYER, "id": "../../etc"}]}, "id '../../etc' cannot be"),
        ({"colour": 1}, "The studio has no colour"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(fields: dict[str, Any], says: str) -> None:
    state = PageState()
    with pytest.raises(BadArgument) as error:
        state.changed(**fields)
    assert says in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 200
    assert state == PageState()


def test_each_change_has_the_next_revision() -> None:
    assert PageState().changed(seed=1).changed(seed=1).revision == 2


def test_a_layer_that_is_gone_is_said() -> None:
    with pytest.raises(BadArgument, match="not on the stack any more"):
        PageState().layer("0123456789ab")
