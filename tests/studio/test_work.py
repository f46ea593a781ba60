"""Long work: one at a time, counted by rows of the denoiser, stopped between two of its calls."""

from __future__ import annotations

import pytest

from turpentine.core.errors import BadArgument
from turpentine.models import Model
from turpentine.studio.work import Desk, LongWork, Stopped, sentence


def test_rows_are_counted_and_a_stop_leaves_the_model_as_it_was(sd1: Model) -> None:
    job = LongWork("layers", 8)
    with job.watching(sd1):
        sd1.generate("a church", seeds=[0, 1], steps=2)
        assert job.done == 8
        job.stop()
        with pytest.raises(Stopped):
            sd1.generate("a church", seeds=[0], steps=2)
    assert job.facts() == {"name": "layers", "done": 8, "total": 8}
    assert not sd1.denoiser._forward_pre_hooks
    assert len(sd1.generate("a church", seeds=[0], steps=1)) == 1


def test_one_job_at_a_time_and_the_next_after_it() -> None:
    desk = Desk()
    desk.stop()  # nothing is under way
    with desk.begun(LongWork("layers", 1)):
        with pytest.raises(BadArgument, match="at work on layers"), desk.begun(LongWork("attack", 1)):
            pass
        desk.stop()
    with desk.begun(LongWork("attack", 1)) as job:
        assert job.name == "attack"
    assert desk.job is None


def test_a_bug_is_a_sentence_and_its_traceback_is_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence(ZeroDivisionError("x")).startswith("The studio failed at this (ZeroDivisionError)")
    assert "ZeroDivisionError: x" in capsys.readouterr().err
    assert sentence(BadArgument("two\nlines")) == "two lines"
    assert sentence(PermissionError(13, "Permission denied")).startswith("This cannot be done")
