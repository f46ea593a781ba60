from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from turpentine.core.tensors import as_os_errors, save_tensors


def test_tensors_and_metadata_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.safetensors"
    rows = torch.randn(2, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    save_tensors(path, {"row": rows[0], "other": rows[1], "turned": rows.T}, {"run": "é"})
    kept = load_file(path)
    assert all(torch.equal(kept[name], wanted) for name, wanted in (("row", rows[0]), ("turned", rows.T)))
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"run": "é"}
    assert [entry.name for entry in path.parent.iterdir()] == ["one.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="no umask")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_who_may_read_goes_by_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_tensors(tmp_path / "one.safetensors", {"a": torch.ones(2)})
    finally:
        os.umask(before)
    assert (tmp_path / "one.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_the_disk_refuses_is_an_os_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("turpentine.core.tensors.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        save_tensors(tmp_path / "one.safetensors", {"a": torch.ones(2)})
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_other_faults_of_the_library_stay_what_they_are() -> None:
    with pytest.raises(SafetensorError, match="header"), as_os_errors("one"):
        raise SafetensorError("a fault of the header")
