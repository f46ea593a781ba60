"""The method, the judge and the attack that the documentation writes keep the contracts, as it says that they do."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import pytest
from doc_blocks import ROOT, blocks_of
from doc_runner import run_python


def _page() -> dict[str, Any]:
    """The names of the page, without the blocks that draw."""
    module = ModuleType("extending_of_the_docs")
    sys.modules[module.__name__] = module  # where a dataclass looks up its annotations
    for block in blocks_of(ROOT / "docs" / "extending.md"):
        if block.language == "python" and not re.search(r"\btp\.(load|attack)\b", block.text):
            run_python(block, block.text.replace("print(Brightness()(images))", ""), vars(module))
    return vars(module)


PAGE = _page()
TestFade, TestBrightness, TestInsisting = PAGE["TestFade"], PAGE["TestBrightness"], PAGE["TestInsisting"]


def test_a_share_that_cannot_be_is_refused() -> None:
    with pytest.raises(Exception, match="Fade's share is 2: give 0 or more and up to 1"):
        PAGE["Fade"](share=2)
