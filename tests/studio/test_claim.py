"""One process to a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from turpentine.core.errors import BadArgument
from turpentine.core.processes import machine
from turpentine.studio.claim import FILE, claimed


def test_a_second_studio_is_refused_and_the_folder_is_free_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "studio"
    with claimed(folder):
        with pytest.raises(BadArgument, match=f"process {os.getpid()}.*--out"), claimed(folder):
            pass
        assert (folder / FILE).is_file()
    with claimed(folder):
        pass
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "left",
    [json.dumps([machine(), 2**22 - 3, "1"]), json.dumps([machine(), os.getpid(), "1"]), ""],
    ids=["gone", "another of this number", "nothing"],  # the same in every process of the tests
)
def test_what_a_kill_left_is_taken_over(left: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(left)
    with claimed(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())[1] == os.getpid()


def test_another_machine_may_still_work_there(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(["another machine", 1, "1"]))
    with pytest.raises(BadArgument, match="Another studio"), claimed(tmp_path):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadArgument, match="is a file"), claimed(tmp_path / "file"):
        pass
