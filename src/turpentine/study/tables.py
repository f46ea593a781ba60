"""The tables of a study's database: the study, its raters, their answers. No name, no address, no device."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HASH = String(64)


class Base(DeclarativeBase):
    """Of all tables."""


class StudyRow(Base):
    """A study, by its plan's hash."""

    __tablename__ = "studies"

    plan: Mapped[str] = mapped_column(HASH, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    entry: Mapped[str] = mapped_column(String(64), unique=True)
    """The token of the link that raters come by."""
    content: Mapped[str] = mapped_column(Text)
    """The plan, as JSON."""
    begun: Mapped[int] = mapped_column(BigInteger)
    """Seconds since 1970."""


class RaterRow(Base):
    """A rater: a number by chance, and the hash of a token that only the rater has."""

    __tablename__ = "raters"
    __table_args__ = (
        ForeignKeyConstraint(["plan"], ["studies.plan"]),
        Index("raters_by_slot", "plan", "slot"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    plan: Mapped[str] = mapped_column(HASH)
    token: Mapped[str] = mapped_column(HASH, unique=True)
    slot: Mapped[int] = mapped_column(Integer)
    """Which of the plan's blocks."""
    state: Mapped[str] = mapped_column(String(16))
    """active, done, stopped, or unqualified."""
    seen: Mapped[int] = mapped_column(BigInteger)
    """Of the last answer, in seconds since 1970."""


class AnswerRow(Base):
    """An answer; a rater gives one to a trial."""

    __tablename__ = "answers"
    __table_args__ = (ForeignKeyConstraint(["rater"], ["raters.id"], ondelete="CASCADE"),)

    rater: Mapped[str] = mapped_column(String(32), primary_key=True)
    trial: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[str] = mapped_column(String(16))
    milliseconds: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(String(120))
    """What was asked; see `trials.StudyTrial.key`."""
