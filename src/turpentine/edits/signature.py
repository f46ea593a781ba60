"""Signatures of edits: who vouches for a content. Ed25519 (RFC 8032), by the package `cryptography`.

Keys are those that people have: of OpenSSH (`ssh-keygen -t ed25519`) or PEM (`openssl genpkey -algorithm ed25519`).
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from turpentine.core.errors import BadArgument, BadSignature
from turpentine.core.hashing import digest_bytes
from turpentine.core.safe_text import one_line

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    PrivateKey: TypeAlias = str | os.PathLike[str] | Ed25519PrivateKey
    PublicKey: TypeAlias = str | os.PathLike[str] | Ed25519PublicKey
else:
    PrivateKey = PublicKey = Any

_PURPOSE = b"turpentine edit, signature 1\0"
"""Before what is signed, so that no signature that a key made of something else fits an edit."""


@dataclass(frozen=True)
class Signature:
    """A signature and the public key that it is of.

    Args:
        public_key: 32 bytes in base64.
        value: 64 bytes in base64.

    Raises:
        BadSignature: They are no such bytes.
    """

    public_key: str
    value: str

    def __post_init__(self) -> None:
        if len(_bytes(self.public_key)) != 32 or len(_bytes(self.value)) != 64:
            raise BadSignature("its signature is none of Ed25519.")

    @property
    def signer(self) -> str:
        """The fingerprint of the public key, as `ssh-keygen -l` prints it."""
        name = b"ssh-ed25519"
        blob = b"".join(len(part).to_bytes(4, "big") + part for part in (name, _bytes(self.public_key)))
        return "SHA256:" + base64.b64encode(bytes.fromhex(digest_bytes(blob))).decode().rstrip("=")

    def to_json(self) -> dict[str, str]:
        """Return the fields as a dict that `json.dumps` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Any) -> Signature:
        """Rebuild a signature from `to_json`'s dict, or what somebody wrote in its place.

        Raises:
            BadSignature: It is none.
        """
        if not isinstance(record, Mapping) or sorted(record) != ["public_key", "value"]:
            raise BadSignature("its signature is none of Ed25519.")
        if not all(isinstance(text, str) for text in record.values()):
            raise BadSignature("its signature is none of Ed25519.")
        return cls(**record)

    def check(self, digest: str, key: PublicKey) -> None:
        """Check that a key's owner signed a digest.

        Args:
            digest: Of the content.
            key: The public key that is trusted, or the path of its file.

        Raises:
            BadSignature: Another key signed, or another content was signed.
            BadArgument: There is no such key, or `cryptography` is missing.
        """
        _check_installed()
        from cryptography.exceptions import InvalidSignature

        public = _public_key(key)
        if public.public_bytes_raw() != _bytes(self.public_key):
            raise BadSignature(f"is signed by {self.signer}, and not by the key that was given.")
        try:
            public.verify(_bytes(self.value), _message(digest))
        except InvalidSignature:
            raise BadSignature("is not what its signer signed: it was altered since.") from None


def sign(digest: str, key: PrivateKey, password: str | None = None) -> Signature:
    """Sign the digest of a content.

    Args:
        digest: Of the content.
        key: A private key, or the path of its file.
        password: Of the file, if it has one.

    Raises:
        BadArgument: There is no such key, the password is not its, or `cryptography` is missing.
    """
    private = _private_key(key, password)
    public, value = private.public_key().public_bytes_raw(), private.sign(_message(digest))
    return Signature(base64.b64encode(public).decode(), base64.b64encode(value).decode())


def needs_password(key: str | os.PathLike[str]) -> bool:
    """Return whether the file of a private key can only be read with a password."""
    _check_installed()
    try:
        _load_private(_key_file(key), None)
    except TypeError:
        return True
    except (ValueError, BadArgument):
        return False
    return False


def _message(digest: str) -> bytes:
    return _PURPOSE + digest.encode()


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return b""


def _private_key(key: PrivateKey, password: str | None) -> Ed25519PrivateKey:
    ed25519 = _check_installed()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return cast("Ed25519PrivateKey", key)
    try:
        private = _load_private(_key_file(key), password.encode() if password else None)
    except TypeError as error:
        raise BadArgument(
            f"The key {one_line(str(key))} has a password: give it too, or none to one without."
        ) from error
    except ValueError as error:
        raise BadArgument(
            f"{one_line(str(key))} cannot be read as a private key, or its password is another: "
            "`ssh-keygen -t ed25519` makes one."
        ) from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise BadArgument(f"{one_line(str(key))} is no Ed25519 key: `ssh-keygen -t ed25519` makes one.")
    return cast("Ed25519PrivateKey", private)


def _load_private(content: bytes, password: bytes | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    is_ssh = b"OPENSSH PRIVATE KEY" in content
    load = serialization.load_ssh_private_key if is_ssh else serialization.load_pem_private_key
    try:
        return load(content, password)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error


def _public_key(key: PublicKey) -> Ed25519PublicKey:
    ed25519 = _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    if isinstance(key, ed25519.Ed25519PublicKey):
        return cast("Ed25519PublicKey", key)
    content = _key_file(key)
    if b"PRIVATE KEY" in content:
        raise BadArgument(f"{one_line(str(key))} is a private key, which only its owner needs: give the public one.")
    is_ssh = content.startswith(b"ssh-")
    try:
        public = (serialization.load_ssh_public_key if is_ssh else serialization.load_pem_public_key)(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadArgument(
            f"{one_line(str(key))} cannot be read as a public key: give KEY.pub or a PEM file."
        ) from error
    if not isinstance(public, ed25519.Ed25519PublicKey):
        raise BadArgument(f"{one_line(str(key))} is no Ed25519 key: edits are signed by those.")
    return cast("Ed25519PublicKey", public)


def _key_file(key: Any) -> bytes:
    path = Path(key).expanduser()
    if not path.is_file():
        raise BadArgument(f"There is no key at {one_line(str(path))}: check the path.")
    return path.read_bytes()


def _check_installed() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise BadArgument("Signatures need cryptography: pip install 'turpentine[sign]'.") from error
    return ed25519
