"""The examples in docstrings do what they say: each module that has some is run by doctest."""

from __future__ import annotations

import doctest
import importlib
import tempfile
from pathlib import Path
from typing import Any

import pytest

from turpentine.concepts import Concept
from turpentine.models import Model

SOURCE = Path(__file__).parents[1] / "src"
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def names(model: Model) -> dict[str, Any]:
    """What an example may use without an import: a small model as `model`, and a few names that most would import."""
    from turpentine.edits import GuidanceChange, guidances_of
    from turpentine.erase.guidance import NegativePrompt
    from turpentine.erase.uce import UCE

    return {
        **{each.__name__: each for each in (Concept, GuidanceChange, NegativePrompt, Path, UCE)},
        **{"guidances_of": guidances_of, "model": model, "tempfile": tempfile},
    }


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, whole_sd1: Model) -> None:
    result = doctest.testmod(importlib.import_module(module), extraglobs=names(whole_sd1))
    assert result.attempted
    assert not result.failed
