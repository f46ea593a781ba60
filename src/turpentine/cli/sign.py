"""`turpentine sign` and `turpentine verify`: who vouches for an edit or a guidance."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from turpentine.cli.options import Json
from turpentine.cli.terminal import plain, say, say_json
from turpentine.core.errors import BadArgument, BadSignature
from turpentine.edits.places import check_readable


def sign(edit: Path, *, key: Path, out: Path | None = None, json: Json = False) -> None:
    """Sign an edit or a guidance with your Ed25519 key, so that others can see that it is yours and as you left it.

    The signature covers the tensors, the strength and the provenance, and is written into its own file.
    `ssh-keygen -t ed25519 -f my-key` makes a key; others need `my-key.pub`.

    Args:
        edit: The file of an edit or a guidance, or the folder of a run.
        key: Your private key, OpenSSH's or PEM; if it has a password, that is asked for.
        out: The file to write instead, which must not exist yet.
        json: Print one JSON document, also of an error.

    Raises:
        BadArgument: There is no such key, or the password is not its.
        EditError: There is no such edit, or something is at `out`.

    Example:
        turpentine sign runs/church-uce/edit.safetensors --key my-key
    """
    edit = check_readable(edit)
    from turpentine.edits import load_change
    from turpentine.edits.signature import needs_password
    from turpentine.models.saving import refuse_existing

    if out is not None:
        refuse_existing(out)
    signed = load_change(edit).sign(key, _ask(key) if needs_password(key) else None)
    signed.save(out or edit)
    assert signed.signature is not None
    signer = signed.signature.signer
    if json:
        say_json({"file": str(out or edit), "id": signed.id, "signer": signer})
    else:
        say(f"{plain(str(out or edit))} is signed by {signer}.")


def verify(edit: Path, *, key: Path, json: Json = False) -> None:
    """Check that the owner of a key signed an edit or guidance as it is now; the exit code says so too.

    Args:
        edit: The file of an edit or a guidance, or the folder of a run.
        key: The signer's public key, from a source that you trust: KEY.pub of OpenSSH, or PEM.
        json: Print one JSON document, also of an error.

    Raises:
        BadSignature: It is not signed, or by another key, or was altered since.
        BadArgument: There is no such key.
        EditError: There is no such edit, or it is damaged.

    Example:
        turpentine verify runs/church-uce/edit.safetensors --key my-key.pub
    """
    edit = check_readable(edit)
    from turpentine.edits import load_change

    read = load_change(edit)
    try:
        read.verify(key)
    except BadSignature as error:
        raise BadSignature(f"{plain(str(edit))}: {error}") from None
    assert read.signature is not None
    signer = read.signature.signer
    if json:
        say_json({"file": str(edit), "id": read.id, "signer": signer, "verified": True})
    else:
        say(f"{plain(str(edit))} is as {signer} signed it.")


def _ask(key: Path) -> str:
    """Return the password of a key, as it is typed, without showing it."""
    if not sys.stdin.isatty():
        raise BadArgument(f"The key {plain(str(key))} has a password, and there is no terminal to ask for it.")
    return getpass.getpass(f"Password of {plain(str(key))}: ")
