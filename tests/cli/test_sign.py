"""`turpentine sign` and `turpentine verify`, with keys as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from turpentine.edits import Edit

crypto = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """An edit, a private key and its public key."""
    key, edit = crypto.Ed25519PrivateKey.generate(), tmp_path / "edit.safetensors"
    Edit({"unet.a": torch.ones(2)}).save(edit)
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    (tmp_path / "key").write_bytes(key.private_bytes(*private))
    public = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(*public))
    return edit, tmp_path / "key", tmp_path / "key.pub"


def test_an_edit_is_signed_in_its_own_file_and_verified(command: Any, files: tuple[Path, Path, Path]) -> None:
    edit, key, public = map(str, files)
    assert command("verify", edit, "--key", public)[0] == 2
    code, out, _ = command("sign", edit, "--key", key)
    assert code == 0 and "is signed by SHA256:" in out
    code, out, _ = command("verify", edit, "--key", public, "--json")
    assert code == 0 and json.loads(out)["verified"] is True
    assert json.loads(out)["signer"] == json.loads(command("info", edit, "--json")[1])["signer"]
    assert "by its own word" in command("info", edit)[1]


def test_the_folder_of_a_run_is_its_edit(command: Any, files: tuple[Path, Path, Path]) -> None:
    edit, key, public = map(str, files)
    run = str(files[0].parent)
    assert command("sign", run, "--key", key)[1].startswith(edit)
    assert command("verify", run, "--key", public)[0] == 0
    assert command("info", run, "--json")[1] == command("info", edit, "--json")[1]


def test_another_key_or_another_file_is_refused(command: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    edit, key, public = map(str, files)
    out = str(tmp_path / "signed.safetensors")
    assert command("sign", edit, "--key", key, "--out", out)[0] == 0
    assert Edit.load(edit).signature is None and Edit.load(out).signature is not None
    code, _, err = command("sign", edit, "--key", key, "--out", out)
    assert code == 2 and "exists already" in err
    code, _, err = command("verify", out, "--key", key)
    assert code == 2 and "is a private key" in err
    code, _, err = command("verify", edit, "--key", public)
    assert code == 2 and "is not signed" in err and err.startswith(f"{edit}: ")
    code, _, err = command("sign", str(tmp_path / "nothing"), "--key", key)
    assert code == 2 and "There is no edit at" in err
