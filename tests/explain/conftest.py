import pytest

from turpentine.models import Model, load


@pytest.fixture(scope="session")
def emoji() -> Model:
    return load()
