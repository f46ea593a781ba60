"""What all tests share: shapes in signatures are checked, and torch keeps to one thread: tests run side by side."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test needs a network

import checking

checking.install("turpentine")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from pickles import set_tripwires  # noqa: E402
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl  # noqa: E402

from turpentine.models import Model  # noqa: E402

# A shell starts what runs in the background with Ctrl-C ignored; tests send it, to themselves and to their processes.
signal.signal(signal.SIGINT, signal.default_int_handler)
set_tripwires()
torch.set_num_threads(1)
settings.register_profile("turpentine", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("turpentine")


LONG = (
    "runs/test_backends.py",
    "test_docs.py",
    "test_docs_site.py",
    "bench/test_killed.py",
    "contract/test_attacks.py",
    "cli/test_explain.py",
)
"""Files that take long: they begin first, so that at the end no process waits for another one's last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, and leave all others as they are."""
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def sd1() -> Model:
    """A tiny Stable Diffusion 1; shared, so leave it as it was."""
    return Model(tiny_sd1())


@pytest.fixture(scope="session")
def whole_sd1() -> Model:
    """A tiny Stable Diffusion 1 with the real one's 16 cross-attention modules; shared, so leave it as it was."""
    return Model(tiny_sd1(whole=True))


@pytest.fixture(scope="session")
def whole_sd2() -> Model:
    """A tiny Stable Diffusion 2 with the real one's 16 cross-attention modules; shared, so leave it as it was."""
    return Model(tiny_sd2_v(whole=True))


@pytest.fixture(scope="session")
def whole_sdxl() -> Model:
    """A tiny SDXL with as many layers a level as the real one has; shared, so leave it as it was."""
    return Model(tiny_sdxl(whole=True))


@pytest.fixture(scope="session")
def double() -> Model:
    """The tiny Stable Diffusion 1 in fp64, to hold a method against its equation; shared, so leave it as it was."""
    return Model(tiny_sd1().to(torch.float64))


@pytest.fixture(scope="session")
def sd2() -> Model:
    """A tiny Stable Diffusion 2 with v-prediction; shared, so leave it as it was."""
    return Model(tiny_sd2_v())


@pytest.fixture(scope="session")
def sdxl() -> Model:
    """A tiny SDXL; shared, so leave it as it was."""
    return Model(tiny_sdxl())


@pytest.fixture(scope="session")
def whole_double() -> Model:
    """The tiny Stable Diffusion 1 of 16 cross-attention modules in fp64; shared, so leave it as it was."""
    return Model(tiny_sd1(whole=True).to(torch.float64))
