"""`run.json`: what identifies a run, and its results; nothing resumes from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from turpentine.core.atomic_files import write_text_whole
from turpentine.core.errors import BadArgument

FORMAT = 1


@dataclass(frozen=True)
class RunFile:
    """The content of `run.json`.

    Args:
        identity: All that decides the run's numbers; a folder holds one identity only.
        about: Facts that do not, such as versions.
        started: When the run was begun, in UTC.
        finished: When it was finished; None until then.
        seconds: Time of each phase: "erase", "before", "after".
        results: The outcome, once the run is finished.
    """

    identity: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: Path, identity: Mapping[str, Any], about: Mapping[str, Any], *, unused: Collection[str] = ()
    ) -> RunFile:
        """Return the run of this identity: the one in the file, or a new one, which is written.

        Args:
            path: Of the file.
            identity: Of the run.
            about: Of a new run.
            unused: Facts of the identity that have decided nothing yet of what is in the folder: they may be others.

        Raises:
            BadArgument: The file holds another run; the difference is named.
        """
        plain = json.loads(json.dumps(identity))
        if not path.exists():
            return cls(plain, dict(about), started=_now()).written(path)
        run = cls.read(path)
        keys = [key for key in sorted({*plain, *run.identity}) if plain.get(key) != run.identity.get(key)]
        if keys and run.finished is None and set(keys) <= set(unused):
            return replace(run, identity=plain, about=dict(about)).written(path)
        if keys:
            differing = [_difference(key, plain.get(key), run.identity.get(key)) for key in keys]
            raise BadArgument(
                f"{path.parent} holds a run with another {' and '.join(differing)}: "
                "choose another folder with --out, or replace that run with --force."
            )
        return run

    @classmethod
    def read(cls, path: Path) -> RunFile:
        """Read a run.

        Raises:
            BadArgument: There is none in the file.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") > FORMAT:
                raise BadArgument(f"{path} was written by a newer Turpentine: update this one.")
            return cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadArgument(
                f"{path} does not tell of a run: choose another folder with --out, or replace it with --force."
            ) from error

    def finish(self, path: Path, edit: str, seconds: Mapping[str, float], results: Mapping[str, Any]) -> RunFile:
        """Write the outcome, and return the run. One that is finished already keeps its date.

        Args:
            path: Of the file.
            edit: The id of the edit.
            seconds: Time of each phase.
            results: In types of JSON.
        """
        return replace(
            self,
            about={**self.about, "edit": edit},
            finished=self.finished or _now(),
            seconds={phase: round(value, 2) for phase, value in seconds.items()},
            results=dict(results),
        ).written(path)

    def written(self, path: Path) -> RunFile:
        """Write the file, whole or not at all, and return the run."""
        write_text_whole(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=2))
        return self


def _difference(key: str, one: Any, other: Any) -> str:
    """Return a fact that differs, in words; where code alone does, its revision; of a protocol, what of it."""
    if key == "protocol" and isinstance(one, Mapping) and isinstance(other, Mapping):
        parts = [part.replace("_", " ") for part in {**one, **other} if one.get(part) != other.get(part)]
        return f"{key} ({', '.join(parts)})"
    return f"revision of the code of its {key}" if _by_code(one, other) else key


def _by_code(one: Any, other: Any) -> bool:
    """Return whether two facts differ in the revision of some code alone."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return False
    return {**one, "revision": ""} == {**other, "revision": ""}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
