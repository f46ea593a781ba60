import pytest
from explain.worldless import WorldlessJudge

from turpentine.judges import EmojiJudge
from turpentine.models import Model, load


@pytest.fixture(scope="session")
def emoji() -> Model:
    return load()


@pytest.fixture(scope="session")
def judge() -> EmojiJudge:
    return WorldlessJudge()
