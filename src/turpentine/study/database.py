"""A study's database, SQLite in a file or PostgreSQL by a URL, and transactions of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError, SQLAlchemyError

from turpentine.core.errors import BadArgument, TurpentineError

T = TypeVar("T")

SQLITE = "sqlite"
POSTGRES = "postgresql"
_PATIENCE_S = 15
"""How long a connection waits for another's write."""


def open_engine(url: str) -> Engine:
    """Return an engine for a database.

    Args:
        url: A file's path, for SQLite; or postgresql://USER:PASSWORD@HOST/NAME.

    Raises:
        BadArgument: It is neither.
    """
    if "://" not in url:
        return _sqlite(Path(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadArgument("The URL of the database cannot be read: write postgresql://USER@HOST/NAME.") from error
    kind = parsed.get_backend_name()
    if kind == SQLITE and parsed.database:
        return _sqlite(Path(parsed.database))
    if kind not in (POSTGRES, "postgres"):
        raise BadArgument(f"A study's database is a file, or postgresql://USER@HOST/NAME, and not {kind}://.")
    try:
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            pool_timeout=5,
            connect_args={"connect_timeout": 5},
        )
    except NoSuchModuleError as error:
        raise BadArgument("PostgreSQL needs psycopg: pip install 'turpentine[study]'.") from error


def without_password(url: str) -> str:
    """Return a file's path, or a URL as it can be shown.

    Example:
        >>> without_password("postgresql://me:secret@db/study"), without_password("answers.sqlite")
        ('postgresql://me:***@db/study', 'answers.sqlite')
    """
    return make_url(url).render_as_string(hide_password=True) if "://" in url else url


def _sqlite(path: Path) -> Engine:
    """Return an engine for a file, which is made once: where it is taken away, writing fails and is not lost."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"timeout": _PATIENCE_S, "check_same_thread": False}, pool_size=8
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        # Autocommit: SQLAlchemy's `begin` below takes the place of the driver's own, which begins too late.
        connection.isolation_level = None
        cursor = connection.cursor()
        for line in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_PATIENCE_S * 1000}"):
            cursor.execute(f"PRAGMA {line}")
        cursor.close()
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def _check(connection: Any, record: Any, proxy: Any) -> None:
        if record.info.get("file") != _identity(path):
            raise DisconnectionError(f"{path} is another file now.")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        mode = "IMMEDIATE" if connection.get_execution_options().get("writes") else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found_file = os.stat(path)
    except OSError:
        return None
    return found_file.st_dev, found_file.st_ino


class DatabaseGone(TurpentineError):
    """The database does not answer now."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn a database's errors into one that says what to do."""
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseGone("The database does not answer: the answer is not stored yet.") from error


class Writer:
    """Transactions that are on the disk when they return.

    SQLite has one writer at a time, and the disk takes as long for one answer as for twenty: those who wait go into one
    transaction together.

    Args:
        engine: Of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._is_sqlite = engine, engine.dialect.name == SQLITE
        self._turn = Lock()
        self._waiting: deque[tuple[Callable[[Connection], Any], Future[Any]]] = deque()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what a piece of work returns, once its changes are on the disk.

        Args:
            work: Refuses what cannot be before it changes anything.

        Raises:
            DatabaseGone: The database does not answer; nothing is changed.
            TurpentineError: As the work does.
        """
        if not self._is_sqlite:
            with reported(), self._engine.begin() as connection:
                return work(connection)
        result: Future[T] = Future()
        self._waiting.append((work, result))
        with self._turn:
            if not result.done():
                self._write_waiting()
        return result.result()

    def _write_waiting(self) -> None:
        """Do all that waits in one transaction; where that fails, all of it has failed."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with reported(), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                outcomes = [_outcome(work, connection) for work, _ in batch]
        except BaseException as error:
            outcomes = [(None, error)] * len(batch)
        for (_, result), (value, fault) in zip(batch, outcomes, strict=True):
            if fault is None:
                result.set_result(value)
            else:
                result.set_exception(fault)


def _outcome(work: Callable[[Connection], T], connection: Connection) -> tuple[T | None, BaseException | None]:
    try:
        return work(connection), None
    except TurpentineError as error:
        return None, error
