"""What docs/families.md says of each family's methods and instruments is what running them says."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_says_what_runs_on_each_family() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "families.py"))
    text = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    found = tool["refusals"]()
    assert tool["page"](text, tool["tables"](found)) == text, "run python tools/families.py"
    for sentences in found.values():
        for family, sentence in sentences.items():
            names = {"sd3": "Stable Diffusion 3", "flux": "FLUX.1", "pixart": "PixArt", "sana": "SANA"}
            assert not sentence or (names[family] in sentence and sentence.count(". ") == 0 and len(sentence) < 200)
