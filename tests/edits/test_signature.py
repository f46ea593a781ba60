"""A seal finds damage, a signature finds forgery: against `cryptography` itself, with files of keys as people have."""

from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, BadSignature, EditError
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.edits import Edit, GuidanceChange, Provenance, Zeroed
from turpentine.edits.edit_file import content_digest
from turpentine.edits.signature import Signature, needs_password
from turpentine.erase.guidance import NegativePrompt
from turpentine.models import Model

crypto = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

KEY = crypto.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = crypto.Ed25519PrivateKey.from_private_bytes(bytes(32))
EDIT = Edit(
    {"unet.a": torch.tensor([0.5, 1 / 3]), "unet.b": torch.tensor([2.0])},
    Provenance("ESD", {"eta": 1.0, "sites": ("a", "b")}, (Concept("church"),), seed=3, base="ab" * 32),
    zeroed={"unet.c": Zeroed((2, 2), torch.tensor([0, 3]))},
)


def test_a_signature_is_ed25519s_of_all_that_the_file_holds() -> None:
    signed = EDIT.sign(KEY)
    assert signed == EDIT and signed.signature is not None
    message = b"turpentine edit, signature 1\0" + content_digest(EDIT).encode()
    assert base64.b64decode(signed.signature.value) == KEY.sign(message)
    signed.verify(KEY.public_key())


def test_a_guidance_is_signed_as_an_edit_is(sd1: Model, tmp_path: Path) -> None:
    change = NegativePrompt()(sd1, Concept("church")).sign(KEY)
    change.save(tmp_path / "guidance.json")
    loaded = GuidanceChange.load(tmp_path / "guidance.json")
    loaded.verify(KEY.public_key())
    assert loaded == change and loaded.scaled(1).signature == loaded.signature and loaded.scaled(2).signature is None
    for altered in (replace(loaded, strength=2.0), replace(loaded, provenance=replace(loaded.provenance, base=""))):
        with pytest.raises(BadSignature, match="is not what its signer signed"):
            altered.verify(KEY.public_key())
    with pytest.raises(BadSignature, match="is signed by"):
        loaded.verify(OTHER.public_key())
    with pytest.raises(BadSignature, match="is not signed"):
        replace(loaded, signature=None).verify(KEY.public_key())
    assert EDIT.sign(KEY).signature != change.signature


def test_it_survives_the_file_and_no_change_of_what_it_covers(tmp_path: Path) -> None:
    EDIT.sign(KEY).save(tmp_path / "edit.safetensors")
    loaded = Edit.load(tmp_path / "edit.safetensors")
    loaded.verify(KEY.public_key())
    assert loaded.scaled(1).signature == loaded.signature and loaded.scaled(0.5).signature is None
    changes: list[dict[str, Any]] = [
        {"strength": 2.0},
        {"deltas": {**loaded.deltas, "unet.b": torch.tensor([2.5])}},
        {"deltas": {"unet.a": loaded.deltas["unet.a"]}},
        {"zeroed": {"unet.c": Zeroed((2, 2), torch.tensor([1]))}},
        {"provenance": replace(loaded.provenance, concepts=(Concept("dog"),))},
        {"provenance": replace(loaded.provenance, base="")},
        {"provenance": replace(loaded.provenance, versions={})},
    ]
    for change in changes:
        with pytest.raises(BadSignature, match="is not what its signer signed"):
            replace(loaded, **change).verify(KEY.public_key())


def test_a_forger_who_seals_anew_is_found(tmp_path: Path) -> None:
    path = tmp_path / "edit.safetensors"
    EDIT.sign(KEY).save(path)
    tensors, record = read_sealed(path, "edit")
    write_sealed(path, {**tensors, "unet.b": torch.tensor([9.0])}, record, "edit")
    with pytest.raises(BadSignature, match="altered since"):
        Edit.load(path).verify(KEY.public_key())  # the seal is whole
    Edit.load(path).sign(OTHER).save(path)
    with pytest.raises(BadSignature, match=r"is signed by SHA256:\S+, and not by the key that was given"):
        Edit.load(path).verify(KEY.public_key())
    replace(Edit.load(path), signature=None).save(path)
    with pytest.raises(BadSignature, match="is not signed"):
        Edit.load(path).verify(KEY.public_key())


NO_SIGNATURES = [None, 1, {}, {"public_key": 1, "value": 2}, {"public_key": "AA==", "value": "AA=="}]


@pytest.mark.parametrize("record", NO_SIGNATURES)
def test_what_is_no_signature_is_one_sentence(tmp_path: Path, record: Any) -> None:
    tensors, content = ({"unet.a": torch.ones(2)}, {"strength": 1.0, "provenance": EDIT.provenance.to_json()})
    write_sealed(tmp_path / "edit", tensors, {**content, "signature": record}, "edit")
    if record is None:
        assert Edit.load(tmp_path / "edit").signature is None
        return
    with pytest.raises(EditError, match=r"edit is not an edit.*its signature is none of Ed25519"):
        Edit.load(tmp_path / "edit")


def key_file(path: Path, form: str, password: bytes | None = None, key: Any = KEY) -> Path:
    formats = {"ssh": serialization.PrivateFormat.OpenSSH, "pem": serialization.PrivateFormat.PKCS8}
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, formats[form], hidden))
    return path


def public_file(path: Path, form: str, key: Any = KEY) -> Path:
    forms = {
        "ssh": (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        "pem": (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    }
    path.write_bytes(key.public_key().public_bytes(*forms[form]))
    return path


@pytest.mark.parametrize("form", ["ssh", "pem"])
def test_keys_are_files_of_openssh_or_pem(tmp_path: Path, form: str) -> None:
    private, public = key_file(tmp_path / "key", form), public_file(tmp_path / "key.pub", form)
    signed = EDIT.sign(private)
    assert signed.signature == EDIT.sign(KEY).signature and not needs_password(private)
    signed.verify(str(public))
    with pytest.raises(BadArgument, match="is a private key, which only its owner needs"):
        signed.verify(private)
    with pytest.raises(BadArgument, match="cannot be read as a private key"):
        EDIT.sign(public)


def test_a_key_with_a_password(tmp_path: Path) -> None:
    private = key_file(tmp_path / "key", "pem", b"secret")
    assert needs_password(private)
    assert EDIT.sign(private, "secret").signature == EDIT.sign(KEY).signature
    for password, problem in ((None, "has a password"), ("wrong", "its password is another")):
        with pytest.raises(BadArgument, match=problem):
            EDIT.sign(private, password)


def test_other_keys_and_none_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    curve = ec.generate_private_key(ec.SECP256R1())
    for form in ("ssh", "pem"):
        with pytest.raises(BadArgument, match="no Ed25519 key"):
            EDIT.sign(key_file(tmp_path / form, form, key=curve))
    with pytest.raises(BadArgument, match="no Ed25519 key"):
        EDIT.sign(KEY).verify(public_file(tmp_path / "ec.pem", "pem", curve))
    (tmp_path / "junk").write_bytes(b"ssh-ed25519 junk")
    with pytest.raises(BadArgument, match="cannot be read as a public key"):
        EDIT.sign(KEY).verify(tmp_path / "junk")
    with pytest.raises(BadArgument, match="There is no key at"):
        EDIT.sign(tmp_path / "nowhere")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed.")
def test_the_signer_is_named_as_ssh_keygen_names_a_key(tmp_path: Path) -> None:
    public = public_file(tmp_path / "key.pub", "ssh")
    printed = subprocess.run(["ssh-keygen", "-lf", public], capture_output=True, text=True, check=True).stdout
    signature = EDIT.sign(KEY).signature
    assert isinstance(signature, Signature) and printed.split()[1] == signature.signer
