import pytest

from turpentine.judges import EmojiJudge
from turpentine.models import Model, load


@pytest.fixture(scope="session")
def emoji() -> Model:
    return load()


@pytest.fixture(scope="session")
def judge() -> EmojiJudge:
    return EmojiJudge()
