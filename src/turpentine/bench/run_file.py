"""The file that says what a run is of, how far it is, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument

FORMAT = 1


@dataclass
class RunFile:
    """`run.json`: whole at any time, written anew after each phase.

    identity: all that decides the run's numbers; a folder holds one identity only. about: facts that do not, such as
    versions. seconds: spent in each phase, over all goes. results: what came out, once the run is finished.
    """

    path: Path
    identity: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> RunFile:
        """The run of this identity: the one in the file, or a new one, which is written.

        Raises BadArgument if the file holds another run, and says in what it differs.
        """
        plain = json.loads(json.dumps(identity))
        if not path.exists():
            run = cls(path, plain, dict(about), started=_now())
            run.save()
            return run
        run = cls.read(path)
        differing = [key for key in sorted({*plain, *run.identity}) if plain.get(key) != run.identity.get(key)]
        if differing:
            raise BadArgument(
                f"{path.parent} holds a run with another {' and '.join(differing)}: "
                "choose another folder with --out, or replace that run with --force."
            )
        return run

    @classmethod
    def read(cls, path: Path) -> RunFile:
        """The run in a file. Raises BadArgument if there is none."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") > FORMAT:
                raise BadArgument(f"{path} was written by a newer Turpentine: update this one.")
            return cls(path, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadArgument(
                f"{path} does not tell of a run: choose another folder with --out, or replace it with --force."
            ) from error

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time that a block takes to a phase's, also if the block is interrupted."""
        start = monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0) + monotonic() - start, 2)
            self.save()

    def finish(self, results: Mapping[str, Any]) -> None:
        """Note what came out. A run that is finished already keeps its date."""
        self.results = dict(results)
        self.finished = self.finished or _now()
        self.save()

    def save(self) -> None:
        """Write the file. Raises OSError as the file system does."""
        content = {key: value for key, value in vars(self).items() if key != "path"}
        with write_whole(self.path) as aside:
            aside.write_text(json.dumps({"format": FORMAT, **content}, indent=2), encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
