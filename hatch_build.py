"""What the build adds to pyproject.toml: the README and the release's addresses, by `tools/published_readme.py`."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PublishedReadme(MetadataHookInterface):
    """Give what is built a README whose links work on a package index."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README, and addresses where the environment has one; what a source distribution states stays."""
        root = Path(self.root)
        tool = runpy.run_path(str(root / "tools" / "published_readme.py"))
        address, version = tool["address_of"](os.environ), metadata["version"]
        text = tool["published"]((root / "README.md").read_text(encoding="utf-8"), address, version)
        metadata.setdefault("readme", {"content-type": "text/markdown", "text": text})
        if address:
            metadata.setdefault("urls", tool["urls"](address, version))
