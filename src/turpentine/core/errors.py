"""What can go wrong, each in one sentence that names the thing and the way out."""

from __future__ import annotations


class TurpentineError(Exception):
    """The root of every error that a user can put right; the command line prints its sentence and exits with 2."""


class ModelNotFound(TurpentineError):
    """A model's files are not where they were looked for, or are not all there."""


class UnsafeFile(TurpentineError):
    """A file would have to be unpickled, which could run any code that it holds."""


class UnsupportedModel(TurpentineError):
    """The model was found, but it is of a family that Turpentine does not know."""


class UnknownName(TurpentineError):
    """No part, parameter, method, solver or kind has this name."""


class BrokenPlugin(TurpentineError):
    """A plug-in of this name is listed by a package, and cannot be loaded from it."""


class EmptyConcept(TurpentineError):
    """A concept without text, or one that selects no token."""


class EmptySelection(TurpentineError):
    """A selection holds no site."""


class MixedSites(TurpentineError):
    """Selections of two models, or with two windows, cannot be combined."""


class BadWindow(TurpentineError):
    """A window of steps is not a part of the schedule."""


class BadArgument(TurpentineError):
    """A setting is outside its range, or two settings do not go together."""


class NotFinite(TurpentineError):
    """A tensor holds NaN or infinity."""


class EditError(TurpentineError):
    """An edit's file is not an edit, is damaged, or cannot be put on or taken off."""


class WrongBase(EditError):
    """An edit was made for another model than the one that it meets."""
