"""What a study keeps: raters and answers. An answer that was acknowledged is on the disk, and stands there once."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from sqlalchemy import Connection, Engine, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.core.hashing import digest_bytes
from turpentine.study.database import SQLITE, DatabaseGone, Writer, open_engine, reported, without_password
from turpentine.study.study import Study
from turpentine.study.tables import AnswerRow, Base, RaterRow, StudyRow
from turpentine.study.trials import ANSWERS, StudyTrial

State = Literal["active", "done", "stopped", "unqualified"]
IDLE_S = 2 * 3600
"""A rater who gave no answer for so long has left, and the place is given to another; the link still works."""
FIRST_S = 20 * 60
"""The same of one who gave none at all."""
_LONGEST_MS = 24 * 3600 * 1000


class StudyFull(TurpentineError):
    """A study has all the raters that it needs."""


class UnknownToken(TurpentineError):
    """No rater has this token: the link is wrong, or the answers were deleted."""


@dataclass(frozen=True)
class Rater:
    """A rater as the database has one.

    Attributes:
        id: By chance.
        slot: Which of the plan's blocks.
        state: active, done, stopped, or unqualified.
    """

    id: str
    slot: int
    state: State


@dataclass(frozen=True)
class Answer:
    """An answer as the database has it.

    Attributes:
        rater: Who.
        trial: Which of the rater's trials, from 0.
        value: What.
        milliseconds: How long it took.
    """

    rater: str
    trial: int
    value: str
    milliseconds: int


class StudyStore:
    """The database of a study; several servers may share one.

    Args:
        url: A file's path, for SQLite, or postgresql://USER@HOST/NAME.
        study: Whose answers they are.
        create: Make the tables and the study's row where they are missing? A reader does not.

    Raises:
        BadArgument: There is no such database, or it has no such study.
        DatabaseGone: It does not answer.
    """

    def __init__(self, url: str, study: Study, *, create: bool = False) -> None:
        self.study = study
        self._engine: Engine = open_engine(url)
        self._is_sqlite = self._engine.dialect.name == SQLITE
        self._writer = Writer(self._engine)
        try:
            if create:
                self._create()
            self.entry = self._entry(url)
        except DatabaseGone as error:
            raise DatabaseGone(
                f"The database {without_password(url)} does not answer: see that it is there, runs, and lets you in."
            ) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def join(self) -> tuple[str, Rater]:
        """Give the next place to a new rater, and return the rater's token, which is not stored, and the rater.

        Places are given out in turn: first those that nobody has or that were left, so that each item gets as many
        answers as the plan says.

        Raises:
            StudyFull: All places are taken.
            DatabaseGone: The database does not answer.
        """
        token = secrets.token_urlsafe(24)
        return token, self._writer.write(partial(self._join, token))

    def rater(self, token: str) -> Rater:
        """Return the rater of a token.

        Raises:
            UnknownToken: There is none.
            DatabaseGone: The database does not answer.
        """
        with self._reading() as connection:
            return self._rater(connection, token)

    def answered(self, rater: Rater) -> dict[int, str]:
        """Return a rater's answers by trial."""
        with self._reading() as connection:
            rows = connection.execute(select(AnswerRow.trial, AnswerRow.value).where(AnswerRow.rater == rater.id))
            return {row.trial: row.value for row in rows}

    def progress(self, token: str) -> tuple[Rater, int]:
        """Return the rater of a token, and the first trial without an answer, in one look."""
        with self._reading() as connection:
            rater = self._rater(connection, token)
            return rater, self._next(connection, rater)

    def put(self, token: str, trial: int, value: str, milliseconds: int) -> tuple[Rater, int, str]:
        """Store an answer; a second one to the same trial changes nothing.

        Args:
            token: Of the rater.
            trial: Which, from 0; the next one, or one that has an answer.
            value: One of those that the question allows.
            milliseconds: From when the picture was there.

        Returns:
            The rater as after it, the next trial, and the value that is stored.

        Raises:
            BadArgument: It is not the next trial, or the question has no such answer.
            UnknownToken: There is no such rater.
            DatabaseGone: The database does not answer; nothing is stored.
        """
        return self._writer.write(partial(self._put, token, trial, value, milliseconds))

    def stop(self, token: str) -> Rater:
        """Note that a rater has stopped; the answers stay."""
        return self._writer.write(partial(self._stop, token))

    def forget(self, token: str) -> int:
        """Delete a rater and all answers, and return how many they were."""
        return self._writer.write(partial(self._forget, token))

    def everything(self) -> tuple[list[Rater], list[Answer]]:
        """Return all raters and answers of the study, in the order of slots and trials."""
        with self._reading() as connection:
            raters = connection.execute(
                select(RaterRow.id, RaterRow.slot, RaterRow.state)
                .where(RaterRow.plan == self.study.hash)
                .order_by(RaterRow.slot, RaterRow.id)
            )
            answers = connection.execute(
                select(AnswerRow.rater, AnswerRow.trial, AnswerRow.value, AnswerRow.milliseconds)
                .join(RaterRow, RaterRow.id == AnswerRow.rater)
                .where(RaterRow.plan == self.study.hash)
                .order_by(RaterRow.slot, AnswerRow.rater, AnswerRow.trial)
            )
            return [Rater(row.id, row.slot, cast(State, row.state)) for row in raters], [
                Answer(*row) for row in answers
            ]

    def _create(self) -> None:
        spec = self.study.spec.model_dump(mode="json")
        values = {
            "plan": self.study.hash,
            "name": self.study.name[:200],
            "entry": secrets.token_urlsafe(12),
            "content": json.dumps(spec),
            "begun": int(time.time()),
        }
        with reported():
            try:
                Base.metadata.create_all(self._engine)
            except DBAPIError:  # another server made them just now
                Base.metadata.create_all(self._engine)
        self._writer.write(lambda connection: connection.execute(self._insert_once(StudyRow, values)))

    def _join(self, token: str, connection: Connection) -> Rater:
        connection.execute(select(StudyRow.plan).where(StudyRow.plan == self.study.hash).with_for_update())
        has_begun = exists().where(AnswerRow.rater == RaterRow.id, AnswerRow.trial == 0)
        rows = connection.execute(
            select(RaterRow.slot, RaterRow.state, RaterRow.seen, has_begun).where(RaterRow.plan == self.study.hash)
        )
        now = int(time.time())
        taken = {slot for slot, state, seen, begun in rows if _counts(state, now - seen, begun)}
        slot = next((each for each in range(self.study.raters) if each not in taken), None)
        if slot is None:
            raise StudyFull("The study has all the raters that it needs. Thank you for coming.")
        rater = Rater(secrets.token_hex(8), slot, "active")
        row = {**vars(rater), "plan": self.study.hash, "token": _hashed(token), "seen": now}
        connection.execute(insert(RaterRow).values(**row))
        return rater

    def _put(
        self, token: str, trial: int, value: str, milliseconds: int, connection: Connection
    ) -> tuple[Rater, int, str]:
        rater = self._rater(connection, token, lock=True)
        trials = self.study.trials(rater.slot)
        place = self._next(connection, rater)
        if not 0 <= trial <= min(place, len(trials) - 1):
            raise BadArgument(f"Trial {trial} is not the next one: reload the page.")
        if value not in ANSWERS[trials[trial].question.kind]:
            raise BadArgument(f"{value!r} is no answer to this question: reload the page.")
        if trial < place:
            return rater, place, self._stored(connection, rater, trial)
        if rater.state != "active":
            raise BadArgument("You have stopped: no more answers are taken.")
        spent = max(0, min(milliseconds, _LONGEST_MS))
        row = {"rater": rater.id, "trial": trial, "value": value, "milliseconds": spent, "key": trials[trial].key}
        connection.execute(insert(AnswerRow).values(**row))
        return self._moved_on(connection, rater, place + 1, trials), place + 1, value

    def _stop(self, token: str, connection: Connection) -> Rater:
        rater = self._rater(connection, token, lock=True)
        return self._with_state(connection, rater, "stopped") if rater.state == "active" else rater

    def _forget(self, token: str, connection: Connection) -> int:
        rater = self._rater(connection, token, lock=True)
        count = self._next(connection, rater)
        connection.execute(delete(AnswerRow).where(AnswerRow.rater == rater.id))
        connection.execute(delete(RaterRow).where(RaterRow.id == rater.id))
        return count

    def _entry(self, url: str) -> str:
        try:
            with self._reading() as connection:
                entry = connection.execute(
                    select(StudyRow.entry).where(StudyRow.plan == self.study.hash)
                ).scalar_one_or_none()
        except DatabaseGone as error:
            if self._is_sqlite:
                raise BadArgument(f"There are no answers in {url}: turpentine study serve makes the file.") from error
            raise
        if entry is None:
            raise BadArgument(
                "The database has no answers to this study: its plan or a picture was changed, or it was never served."
            )
        return entry

    def _insert_once(self, table: Any, values: dict[str, Any]) -> Any:
        """Return an INSERT that does nothing where the row is there."""
        dialect = sqlite if self._is_sqlite else postgresql
        return dialect.insert(table).values(**values).on_conflict_do_nothing()

    def _stored(self, connection: Connection, rater: Rater, trial: int) -> str:
        query = select(AnswerRow.value).where(AnswerRow.rater == rater.id, AnswerRow.trial == trial)
        return str(connection.execute(query).scalar_one())

    def _moved_on(self, connection: Connection, rater: Rater, place: int, trials: tuple[StudyTrial, ...]) -> Rater:
        """Return the rater after an answer: done after the last one, unqualified after too many wrong ones."""
        connection.execute(update(RaterRow).where(RaterRow.id == rater.id).values(seen=int(time.time())))
        rules = self.study.spec.qualification
        last = trials[place - 1]
        is_over = last.phase == "qualification" and (place == len(trials) or trials[place].phase != "qualification")
        if rules and is_over:
            rows = connection.execute(select(AnswerRow.trial, AnswerRow.value).where(AnswerRow.rater == rater.id))
            right = sum(
                trials[number].phase == "qualification" and value in trials[number].right_answers
                for number, value in rows
            )
            if right < rules.right:
                return self._with_state(connection, rater, "unqualified")
        return self._with_state(connection, rater, "done") if place == len(trials) else rater

    def _with_state(self, connection: Connection, rater: Rater, state: State) -> Rater:
        connection.execute(update(RaterRow).where(RaterRow.id == rater.id).values(state=state))
        return Rater(rater.id, rater.slot, state)

    def _rater(self, connection: Connection, token: str, lock: bool = False) -> Rater:
        """Return the rater of a token; locked until the transaction ends, so that two answers come one by one."""
        query = select(RaterRow.id, RaterRow.slot, RaterRow.state).where(
            RaterRow.token == _hashed(token), RaterRow.plan == self.study.hash
        )
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise UnknownToken("This link leads to no answers: it is not complete, or they were deleted.")
        return Rater(row.id, row.slot, row.state)

    def _next(self, connection: Connection, rater: Rater) -> int:
        """Return the first trial without an answer; answers come in order, so it is their number."""
        count = select(func.count()).select_from(AnswerRow).where(AnswerRow.rater == rater.id)
        return int(connection.execute(count).scalar_one())

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with reported(), self._engine.connect() as connection:
            yield connection


def _counts(state: str, idle: int, has_begun: bool) -> bool:
    """Return whether a rater keeps the place from others."""
    return state == "done" or (state == "active" and idle < (IDLE_S if has_begun else FIRST_S))


def _hashed(token: str) -> str:
    return digest_bytes(token.encode())
