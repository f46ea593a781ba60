"""What docs/families.md says of each family's methods, instruments and attacks is what running them says."""

from __future__ import annotations

import runpy
from pathlib import Path

from turpentine.core.plugins import plugins
from turpentine.testing.toys import TRANSFORMERS

ROOT = Path(__file__).parents[1]
NAMES = {
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX.1",
    "flux2": "FLUX.2 klein",
    "flux2-dev": "FLUX.2 dev",
    "pixart": "PixArt",
    "sana": "SANA",
    "qwen": "Qwen-Image",
    "z": "Z-Image",
}


def test_the_page_says_what_runs_on_each_family() -> None:
    """All that it says is refused, and of what runs a third, each plug-in on two families; the tool runs all."""
    tool = runpy.run_path(str(ROOT / "tools" / "families.py"))
    text = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    names, families, refused = list(plugins(tool["KINDS"])), list(TRANSFORMERS), tool["refused_by"](text)

    def is_run(name: str, family: str) -> bool:
        return (name, family) in refused or (names.index(name) + families.index(family)) % 3 == 0

    outcomes = tool["refusals"](is_run=is_run)
    assert tool["page"](text, tool["tables"](outcomes)) == text, "run python tools/families.py"
    for sentences in outcomes.values():
        for family, sentence in sentences.items():
            is_named = NAMES[family] in sentence or "this is a flow model" in sentence
            assert not sentence or (is_named and sentence.count(". ") == 0 and len(sentence) < 200)
