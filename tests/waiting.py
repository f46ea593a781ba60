"""Waiting until something has happened, and no longer than it may take."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def wait_for(happened: Callable[[], object], seconds: float = 240) -> None:
    """Look until it has happened, or fail."""
    limit = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > limit:
            pytest.fail("It did not happen.")
        time.sleep(0.002)
