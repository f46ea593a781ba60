"""Edits whose seal is right and whose content is none that an edit has: one sentence, and nothing is done with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import tiny_sd1
from torch import Tensor

from turpentine.cli.info_edit import site_changes
from turpentine.concepts import Concept
from turpentine.core.errors import EditError, TurpentineError
from turpentine.core.hashing import digest, digest_tensor
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.edits import Edit, Provenance, Zeroed, stack_of
from turpentine.models import Model

NAME, OTHER = "unet.conv_in.bias", "unet.conv_out.bias"
EDIT = Edit(
    {NAME: torch.full((8,), 1 / 3)},
    Provenance("ESD", {"eta": 1.0, "sites": ("a", "b")}, (Concept("church", keep=("dog",)),), seed=3),
    zeroed={OTHER: Zeroed((4,), torch.tensor([0, 3]))},
)
PLACE = f"zeroed/{OTHER}"

Forgery = Callable[[dict[str, Tensor], dict[str, Any]], object]


def provenance(**fields: Any) -> Forgery:
    return lambda tensors, record: record["provenance"].update(fields)


def record(**fields: Any) -> Forgery:
    return lambda tensors, record: record.update(fields)


def tensors(**fields: Tensor) -> Forgery:
    names = {"delta": NAME, "zeroed": PLACE, "more": "zeroed/unet.more"}
    return lambda tensors, record: tensors.update({names[key]: tensor for key, tensor in fields.items()})


IMPOSSIBLE: dict[str, Forgery] = {
    **{
        f"strength {value!r}": record(strength=value) for value in (None, "1", True, [], {}, float("nan"), float("inf"))
    },
    **{f"strength {value:.1}": record(strength=value) for value in (-float("inf"),)},
    **{f"provenance {value!r}": record(provenance=value) for value in (None, 1, "x", [], {})},
    **{f"zeroed {value!r}": record(zeroed=value) for value in (None, 1, "x", [1], {OTHER: 4}, {OTHER: "4"})},
    **{f"shape {value!r}": record(zeroed={OTHER: value}) for value in ([], [0], [-4], [4.0], ["4"], [True], [1, 1])},
    "shape beyond all memory": record(zeroed={OTHER: [2**40, 2**40]}),
    "shape of huge numbers": record(zeroed={OTHER: [10**30]}),
    "a zeroed weight without positions": record(zeroed={"unet.more": [4], OTHER: [4]}),
    "positions without a shape": tensors(more=torch.tensor([1], dtype=torch.uint8)),
    "another key": record(scale=2.0),
    "no strength": lambda tensors, record: record.pop("strength"),
    "no provenance": lambda tensors, record: record.pop("provenance"),
    "method": provenance(method=7),
    "settings": provenance(settings=[1]),
    "concepts": provenance(concepts="church"),
    "a concept": provenance(concepts=["church"]),
    "a concept's text": provenance(concepts=[{"text": 7}]),
    "an empty concept": provenance(concepts=[{"text": " "}]),
    "a concept's key": provenance(concepts=[{"text": "dog", "more": 1}]),
    "a concept's kind": provenance(concepts=[{"text": "dog", "kind": "nothing"}]),
    "a concept's templates": provenance(concepts=[{"text": "dog", "templates": [1]}]),
    "what a concept keeps": provenance(concepts=[{"text": "dog", "keep": [1]}]),
    "no concepts": lambda tensors, record: record["provenance"].pop("concepts"),
    "seed": provenance(seed="x"),
    "base": provenance(base=["x"]),
    "model": provenance(model=None),
    "measurements": provenance(measurements="x"),
    "onto": provenance(onto=[1]),
    "versions": provenance(versions=["torch"]),
    "a version": provenance(versions={"torch": 2}),
    "a key of the provenance": provenance(more=1),
    "NaN": tensors(delta=torch.full((8,), torch.nan)),
    "infinity": tensors(delta=torch.full((8,), torch.inf)),
    **{
        str(dtype): tensors(delta=torch.ones(8).to(dtype))
        for dtype in (torch.int64, torch.bool, torch.float64, torch.bfloat16, torch.float8_e4m3fn, torch.complex64)
    },
    "positions in floats": tensors(zeroed=torch.tensor([0.0, 3.0])),
    "positions in a matrix": tensors(zeroed=torch.tensor([[0, 3]], dtype=torch.uint8)),
    "positions outside": tensors(zeroed=torch.tensor([0, 4], dtype=torch.uint8)),
    "positions cut": tensors(zeroed=torch.tensor([0, 0x83], dtype=torch.uint8)),
    "huge positions": tensors(zeroed=torch.tensor([0xFF] * 12 + [1], dtype=torch.uint8)),
    "no positions": tensors(zeroed=torch.empty(0, dtype=torch.uint8)),
    "no tensor": lambda tensors, record: (tensors.clear(), record.update(zeroed={})),
}
ELSEWHERE: dict[str, Forgery] = {
    "an unknown weight": lambda tensors, record: tensors.update({"unet.none.weight": tensors.pop(NAME)}),
    "a weight without a name": lambda tensors, record: tensors.update({"": tensors.pop(NAME)}),
    "a weight of no part": lambda tensors, record: tensors.update({"\x1b[31m\n": tensors.pop(NAME)}),
    "a module": lambda tensors, record: tensors.update({"unet.conv_in": tensors.pop(NAME)}),
    "another shape": tensors(delta=torch.ones(2, 4)),
    "no number": tensors(delta=torch.ones(0)),
    "another base": provenance(base="ab" * 32),
}


def forged(folder: Path, forge: Forgery) -> Path:
    """Write an edit's file with another content and a right seal."""
    EDIT.save(folder / "edit.safetensors")
    contents, content = read_sealed(folder / "edit.safetensors", "edit")
    forge(contents, content)
    write_sealed(folder / "forged.safetensors", contents, content, "edit")
    return folder / "forged.safetensors"


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_an_impossible_content_is_refused_when_it_is_read(tmp_path: Path, what: str) -> None:
    path = forged(tmp_path, IMPOSSIBLE[what])
    with pytest.raises(TurpentineError) as caught:
        Edit.load(path)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_sd1())


@pytest.mark.parametrize("what", ELSEWHERE)
def test_what_no_such_model_has_is_shown_and_refused_when_it_is_put_on(model: Model, tmp_path: Path, what: str) -> None:
    edit = Edit.load(forged(tmp_path, ELSEWHERE[what]))
    assert len(site_changes(edit)) == 2
    with pytest.raises(TurpentineError):
        edit.apply(model)
    assert not len(stack_of(model))


def test_the_same_edit_is_the_same_bytes_in_any_order_after_a_round_trip_and_in_another_process(tmp_path: Path) -> None:
    edit = Edit({name: torch.full((3,), 1 / n) for n, name in enumerate(("c", "a", "b"), 2)}, EDIT.provenance)
    turned = Edit({name: edit.deltas[name] for name in ("b", "c", "a")}, EDIT.provenance)
    for name, each in (("one", edit), ("again", edit), ("turned", turned)):
        each.save(tmp_path / name)
    Edit.load(tmp_path / "one").save(tmp_path / "round")
    whole = (tmp_path / "one").read_bytes()
    assert all((tmp_path / name).read_bytes() == whole for name in ("again", "turned", "round"))
    program = "import sys; from turpentine.edits import Edit; Edit.load(sys.argv[1]).save(sys.argv[2])"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program, tmp_path / "one", tmp_path / "far"], env=environment, check=True)
    assert (tmp_path / "far").read_bytes() == whole


def test_what_nobody_wrote_is_refused(tmp_path: Path) -> None:
    path, more = tmp_path / "edit.safetensors", tmp_path / "more.safetensors"
    EDIT.save(path)
    with safe_open(path, framework="pt") as file:
        metadata, contents = file.metadata(), {name: file.get_tensor(name) for name in (NAME, PLACE)}
    save_file({**contents, "unet.more": torch.ones(1)}, more, metadata)
    with pytest.raises(EditError, match=r"its tensor unet\.more is not in its record"):
        Edit.load(more)
    save_file(contents, more, {**metadata, "format": "pt"})
    with pytest.raises(EditError, match="its header holds more than its record and its tensors"):
        Edit.load(more)
    content = json.loads(metadata["turpentine"])
    for text in (json.dumps(dict(reversed(content.items()))), json.dumps(content, sort_keys=True, indent=1)):
        save_file(contents, more, {"turpentine": text})
        with pytest.raises(EditError, match="does not match its own checksum"):
            Edit.load(more)


def test_a_header_in_other_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edit.safetensors"
    EDIT.save(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, rest = content[8 : 8 + length].rstrip(b" "), content[8 + length :]
    doubled = b'{"__metadata__":{},' + header[1:]
    spaced = header.replace(b'"dtype":', b'"dtype": ')
    escaped = header.replace(b'"turpentine"', b'"\\u0074urpentine"')
    for other in (doubled, spaced, escaped):
        path.write_bytes(len(other).to_bytes(8, "little") + other + rest)
        with pytest.raises(EditError, match=r"edit\.safetensors"):
            Edit.load(path)


@pytest.mark.parametrize("change", [{"kind": 1}, {"format": "1"}, {"format": None}, {"tensors": [1]}, {"record": []}])
def test_a_seal_anew_over_no_record_of_ours_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    contents = {NAME: torch.ones(8)}
    shas = {name: digest_tensor(tensor) for name, tensor in contents.items()}
    content = {"kind": "edit", "format": 1, "record": {}, "tensors": shas, **change}
    text = json.dumps({**content, "sha256": digest(content)}, sort_keys=True)
    save_file(contents, tmp_path / "edit", {"turpentine": text})
    with pytest.raises(EditError, match="its record is none that Turpentine writes"):
        Edit.load(tmp_path / "edit")


def test_a_header_that_claims_gigabytes_is_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write((10 * 2**30).to_bytes(8, "little") + b'{"a"')
        file.truncate(11 * 2**30)  # which takes no room on the disk
    tracemalloc.start()
    with pytest.raises(EditError, match="its safetensors header cannot be read"):
        Edit.load(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000
