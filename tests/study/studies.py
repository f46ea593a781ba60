"""A small study of pictures that a test makes, its server on a real port, and a database of each kind."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from turpentine.study.study import Study, read_study

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install '.[dev]'")

PLAN = """\
title: How likely is it a true work?
about: A study of a test.
consent: |
  You will see some pictures.

  You can stop at any time.
contact: study@example.org
seed: 3
items:
  - folder: pictures
examples: {folder: examples}
questions:
  - name: likeness
    kind: rating
    text: How likely is it that this is a true work by {subject}?
    examples: 2
ratings: 2
items_per_rater: 4
practice: 1
qualification: {trials: 2, right: 1}
attention: 1
repeats: 0.25
exclusions: {attention: 0, fastest: 0, repeats: 0, straight: 1, complete: 0.5}
"""

SUBJECTS = {"ada": (200, 60, 40), "ben": (40, 90, 200)}
CONDITIONS = ("erased", "real")


def picture(colour: tuple[int, int, int], mark: int) -> Image.Image:
    """Return a square of a colour with a mark."""
    pixels = np.full((48, 48, 3), colour, dtype=np.uint8)
    pixels[4 : 8 + mark, 4:44] = 255 - np.array(colour, dtype=np.uint8)
    return Image.fromarray(pixels)


def small_study(folder: Path, changes: tuple[str, ...] = (), plan: str = PLAN) -> Study:
    """Write a plan with its pictures, and read it."""
    for subject, colour in SUBJECTS.items():
        for condition in CONDITIONS:
            place = folder / "pictures" / condition / subject
            place.mkdir(parents=True, exist_ok=True)
            for number in range(2):
                picture(colour, 8 * number + 4 * (condition == "real")).save(place / f"{number}.png")
        place = folder / "examples" / subject
        place.mkdir(parents=True, exist_ok=True)
        for number in range(2):
            picture(colour, 20 + 8 * number).save(place / f"{number}.png")
    (folder / "study.yaml").write_text(plan, encoding="utf-8")
    return read_study(str(folder / "study.yaml"), changes)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(app: Any, port: int | None = None) -> Iterator[str]:
    """Serve an application on a port of this machine, in a thread, and yield its address."""
    port = port or free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
    named = shutil.which("initdb")
    places += [Path(named).resolve().parent] if named else []
    return next((each for each in reversed(places) if (each / "initdb").exists()), None)


class Cluster:
    """A PostgreSQL server of a test's own, in a temporary folder; it runs as nobody where the tests run as root."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder, self._programs, self.port = folder, programs, free_port()
        self._user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "nobody", "nogroup")
        data = folder / "data"
        self._call("initdb", "-D", str(data), "-U", "study", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        self.start()
        self.url = f"postgresql://study@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c shared_buffers=16MB"
        log = str(self._folder / "log")
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        """Stop the server at once, with all connections."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def emptied(self) -> str:
        """Remove all tables, and return the URL."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url

    def _call(self, program: str, *arguments: str) -> None:
        line = [str(self._programs / program), *arguments]
        # The server keeps what it inherits: pipes would never end.
        with (self._folder / "calls").open("ab") as out:
            subprocess.run(line, check=True, stdout=out, stderr=out, cwd=self._folder, timeout=120, **self._user)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server; skipped where there is none. pytest's own folders are closed to other users."""
    programs = _programs()
    if programs is None:
        pytest.skip("There is no PostgreSQL: apt-get install postgresql.")
    with tempfile.TemporaryDirectory(prefix="study-postgres-") as name:
        running = Cluster(Path(name), programs)
        yield running
        running.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str] | str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "answers.sqlite")
    return request.getfixturevalue("cluster").emptied()
