"""Connections to a study's database: SQLite in a file, or PostgreSQL by a URL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, NoSuchModuleError

from turpentine.core.errors import BadArgument

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
