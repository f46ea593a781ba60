"""The errors that a user can put right; each message is one sentence that names the cause and the way out."""

from __future__ import annotations

from collections.abc import Sequence


class TurpentineError(Exception):
    """Base class of all errors that a user can put right; the command line prints the message and exits with 2.

    Example:
        >>> try:
        ...     Concept("")
        ... except TurpentineError as error:
        ...     print(type(error).__name__)
        EmptyConcept
    """


class ModelNotFound(TurpentineError):
    """A model's files are missing, all of them or some."""


class UnsafeFile(TurpentineError):
    """A file is a pickle, which could run any code when read."""


class UnsupportedModel(TurpentineError):
    """The model is of a family that Turpentine does not support."""


class UnknownName(TurpentineError):
    """No part, parameter, method, solver or kind has this name."""


class BrokenPlugin(TurpentineError):
    """A plug-in of this name is listed by a package, and cannot be loaded from it."""


class EmptyConcept(TurpentineError):
    """A concept has no text, or its text selects no token."""


class EmptySelection(TurpentineError):
    """A selection holds no site."""


class MixedSites(TurpentineError):
    """Selections of two models, or with two windows, cannot be combined."""


class UploadError(TurpentineError):
    """Something could not be uploaded to a hub."""


class BadWindow(TurpentineError):
    """A window of steps is not a part of the schedule."""


class BadArgument(TurpentineError):
    """A setting is out of range, or two settings exclude each other."""


class NoMemory(TurpentineError):
    """Something does not fit into the memory that is free."""


class AbsentConcept(BadArgument):
    """A model does not draw what is to be brought back."""


class SeveralFaults(BadArgument):
    """Several things are wrong, each of which a sentence names.

    Args:
        faults: The sentences.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = tuple(faults)


class NotFinite(TurpentineError):
    """A tensor or a number is NaN or infinite."""


class EditError(TurpentineError):
    """An edit's file is damaged or no edit, or the edit cannot be put on or taken off."""


class BadSignature(EditError):
    """An edit is not signed, not by the key that is trusted, or was altered since."""


class NewerFormat(EditError):
    """A file was written by a newer Turpentine; it is whole, and this one cannot read it."""


class WrongBase(EditError):
    """An edit was made for another model."""
