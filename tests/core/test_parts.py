"""Parts: whole, checked, of one thing only; whatever is killed, cut or flipped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from processes import Started

from turpentine.core.atomic_files import reserve, write_whole
from turpentine.core.parts import RECORDS, TABLES, TENSORS, Codec, DamagedPart, Parts, parts_in

VALUES: dict[str, tuple[Codec[Any], Any]] = {
    "tensors": (TENSORS, {"x": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}),
    "table": (TABLES, pl.DataFrame({"prompt": ["é", None], "features": [[1.0, 2.0], [3.0]], "n": [1, 2]})),
    "record": (RECORDS, {"text": "é", "seconds": 0.1, "files": [None, 1]}),
}
each_kind = pytest.mark.parametrize("kind", VALUES)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pl.DataFrame):
        return bool(one.equals(other))
    if isinstance(one, dict) and all(isinstance(value, torch.Tensor) for value in one.values()):
        return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    return bool(one == other)


@each_kind
def test_a_part_is_made_once_and_read_back_as_it_was(kind: str, tmp_path: Path) -> None:
    codec, value = VALUES[kind]
    calls: list[int] = []

    def make() -> Any:
        calls.append(1)
        return value

    for _ in range(2):
        parts = Parts(tmp_path / "deep", ["about", ("it", 1)], codec)
        assert same(parts.part(["key", 1], make), value)
    assert len(calls) == 1
    assert ["key", 1] in parts and ["key", 2] not in parts
    assert parts.get(["key", 2]) is None
    parts.discard(["key", 1])
    assert parts.get(["key", 1]) is None


@each_kind
def test_whatever_bit_is_flipped_or_byte_cut_off_the_part_is_right_or_made_anew(kind: str, tmp_path: Path) -> None:
    codec, value = VALUES[kind]
    parts = Parts(tmp_path, "about", codec)
    parts.put("key", value)
    path, dice = parts.path("key"), random.Random(0)
    whole = path.read_bytes()
    for number in range(300):
        content = bytearray(whole)
        if number % 10:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        else:
            del content[dice.randrange(len(content)) :]
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = parts.get("key")
        if found is None:
            assert [str(warning.message) for warning in warned] == [f"{path} is damaged: it is computed anew."]
            assert not path.exists()
        else:  # a space of the header's padding, say
            assert same(found, value) and not warned


@each_kind
def test_parts_of_something_else_lie_beside_and_a_file_put_in_anothers_place_is_found(
    kind: str, tmp_path: Path
) -> None:
    codec, value = VALUES[kind]
    one, other = Parts(tmp_path, {"model": 1}, codec), Parts(tmp_path, {"model": 2}, codec)
    one.put("key", value)
    assert other.get("key") is None and other.within("more").get("key") is None
    one.path("key").rename(other.path("key"))
    with pytest.warns(DamagedPart):
        assert other.get("key") is None


@each_kind
def test_clearing_takes_away_what_is_its_own_and_what_a_kill_left(kind: str, tmp_path: Path) -> None:
    codec, value = VALUES[kind]
    one, other = Parts(tmp_path / "run", 1, codec), Parts(tmp_path / "run", 2, codec)
    for parts in (one, other):
        parts.put("key", value)
    left = killed_while_writing(one.path("key")), killed_while_writing(other.path("key"))
    one.clear()
    assert set((tmp_path / "run").iterdir()) == {other.path("key"), left[1]}
    other.clear()
    assert not (tmp_path / "run").exists()
    other.clear()


def killed_while_writing(path: Path) -> Path:
    """What a process that was killed leaves: the folder of one that runs no more."""
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    aside = reserve(path)
    (aside / path.name).write_bytes(b"PAR1")
    return aside.rename(aside.with_name(aside.name.replace(f"-{os.getpid()}-", f"-{gone.pid}-")))


@each_kind
def test_clearing_leaves_what_is_being_written_and_all_that_is_of_others(kind: str, tmp_path: Path) -> None:
    codec, _ = VALUES[kind]
    parts = Parts(tmp_path, 1, codec)
    for name in (".part-xyz", ".tmpAbC", "report.html"):
        (tmp_path / name).write_text("")
    with write_whole(parts.path("key")) as aside:
        parts.clear()
        aside.write_text("live")
    assert parts.path("key").read_text() == "live"
    killed_while_writing(tmp_path / "report.html")
    parts.clear()
    assert not parts.path("key").exists() and len(list(tmp_path.iterdir())) == 4


def test_without_a_folder_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = Parts(None, "about")
    parts.put("key", {"x": torch.ones(1)})
    assert parts.get("key") is None and parts.present(["key"]) == set() and "key" not in parts
    parts.clear()
    assert not list(tmp_path.iterdir())


def test_many_keys_are_looked_for_at_once_and_digests_name_their_files(tmp_path: Path) -> None:
    parts, key = Parts(tmp_path, "about", RECORDS), "ab" * 32
    for each in (key, "two", 3):
        parts.put(each, {"value": each})
    assert parts.present([key, "two", "three", 3]) == {key, "two", 3}
    assert key in parts.path(key).name
    assert sorted(str(value["value"]) for _, value in parts_in(tmp_path, RECORDS)) == ["3", key, "two"]


def test_a_table_may_hold_the_text_that_stands_for_the_checksum(tmp_path: Path) -> None:
    from turpentine.core import parts as module

    parts, table = Parts(tmp_path, "about", TABLES), pl.DataFrame({module._BLANK: [module._BLANK, module._SEAL]})
    parts.put("key", table)
    found = parts.get("key")
    assert found is not None and found.equals(table)
    assert pl.read_parquet(parts.path("key")).equals(table), "anybody can read it"


def test_a_full_disk_leaves_the_part_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(tmp_path, "about", RECORDS)
    parts.put("key", {"n": 1})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        parts.put("key", {"n": 2})
    assert parts.get("key") == {"n": 1} and len(list(tmp_path.iterdir())) == 1


def write_parts(folder: Path) -> None:
    """What a process does that is to be killed."""
    warnings.simplefilter("error", UserWarning)
    for n in range(40):
        x = torch.full((2000,), float(n))
        Parts(folder, "run", TENSORS).part(n, lambda x=x: {"x": x})
        Parts(folder, "run", TABLES).part(n, lambda x=x: pl.DataFrame({"x": x.tolist()}))
        Parts(folder, "run", RECORDS).part(n, lambda x=x: {"x": x.tolist()})
        print(n, flush=True)


def _finished(folder: Path) -> bool:
    """Did a run to the end work, without a warning?"""
    out, _ = (child := Started(folder.parent, write_parts, folder)).communicate()
    return child.poll() == 0 and out.splitlines()[-1] == "39"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith((".part-", ".tmp"))}


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_at_any_point_it_comes_to_the_same_bytes(tmp_path: Path) -> None:
    assert _finished(tmp_path / "calm")
    for stop in (0, 20):
        child = Started(tmp_path, write_parts, tmp_path / "killed")
        while child.poll() is None and int((child.lines() or ["-1"])[-1]) < stop:
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert child.poll() == -signal.SIGKILL
    assert _finished(tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")
