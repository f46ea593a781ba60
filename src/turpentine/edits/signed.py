"""What edits and guidances have in common as signed values: who vouches for their content."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, TypeVar

from turpentine.core.errors import BadSignature
from turpentine.edits.signature import PrivateKey, PublicKey, Signature, sign

AnySigned = TypeVar("AnySigned", bound="Signed")


class Signed(ABC):
    """A frozen dataclass whose content can be signed.

    Attributes:
        signature: Of all its other fields; None without one.
    """

    signature: Signature | None

    @abstractmethod
    def signed_digest(self) -> str:
        """Return the SHA-256, in hex, of all that its file holds but the signature."""

    def sign(self: AnySigned, key: PrivateKey, password: str | None = None) -> AnySigned:
        """Return the same value, signed: whoever has the public key can see that nobody else altered it.

        The signature covers all that decides what it does, and its provenance, and is in the file that `save` writes.
        It is Ed25519's, and needs the extra `turpentine[sign]`.

        Args:
            key: An Ed25519 private key of `cryptography`, or the path of one in OpenSSH's format or PEM.
            password: Of the key's file, if it has one.

        Raises:
            BadArgument: There is no such key, or the password is not its.
        """
        frozen: Any = self
        signed: AnySigned = replace(frozen, signature=sign(self.signed_digest(), key, password))
        return signed

    def verify(self, key: PublicKey) -> None:
        """Check that the owner of a key signed this as it is.

        Args:
            key: The signer's public key, from a source that you trust: a key of `cryptography`, or a path.

        Raises:
            BadSignature: It is not signed, or by another key, or was altered since.
            BadArgument: There is no such key.
        """
        if self.signature is None:
            raise BadSignature(f"{self!r} is not signed.")
        try:
            self.signature.check(self.signed_digest(), key)
        except BadSignature as error:
            raise BadSignature(f"{self!r} {error}") from None
