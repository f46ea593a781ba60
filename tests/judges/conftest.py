from __future__ import annotations

import pytest
from judges.toys import saved_classifier, saved_clip


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny classifier; shared, so leave it as it was."""
    return saved_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny CLIP model; shared, so leave it as it was."""
    return saved_clip(tmp_path_factory.mktemp("clip"))
