from __future__ import annotations

import errno

import pytest
import torch
from cyclopts import CycloptsError

from turpentine.cli.error_sentences import sentence
from turpentine.core.errors import BadArgument


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BadArgument("No.\x1b[2J\nGo."), "No.[2J Go."),
        (CycloptsError(msg="Unknown option: --foo."), "Unknown option: --foo. See turpentine --help."),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "The disk is full at a/b: make room"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "The disk is full: make room"),
        (PermissionError(errno.EACCES, "Permission denied", "a\x07b"), "Permission denied at ab."),
        (MemoryError(), "The memory ran out: take a smaller --batch-size (explain: --rows; bench: --set"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB."), "The memory ran out where 2.50 GiB more"),
    ],
)
def test_what_a_user_can_put_right_is_a_sentence(error: Exception, said: str) -> None:
    text = sentence(error)
    assert text.startswith(said)
    assert "\n" not in text


def test_a_bug_keeps_its_traceback() -> None:
    bug = ZeroDivisionError("division by zero")
    with pytest.raises(ZeroDivisionError):
        sentence(bug)


def test_no_memory_for_a_tensor_is_a_sentence_that_says_how_much_was_needed() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**17, dtype=torch.uint8)
    assert sentence(caught.value).startswith("The memory ran out where 100.0 PB more were needed: take a smaller")
