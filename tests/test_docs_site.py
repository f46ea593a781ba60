"""The documentation builds as a site, without a warning, and shows all that its pages say."""

from __future__ import annotations

import html
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from doc_blocks import ROOT
from markdown_it import MarkdownIt


@pytest.mark.skipif(importlib.util.find_spec("myst_nb") is None, reason="the site needs pip install '.[docs]'")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """As `make docs`: a process of its own, since autodoc reads the docstrings of the package as it is installed."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "TQDM_DISABLE": "1"})
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "docs").glob("*.md"):
        page = (tmp_path / path.with_suffix(".html").name).read_text(encoding="utf-8")
        shown = html.unescape(re.sub(r"<[^>]+>", " ", page))
        missing = words(plain(path.read_text(encoding="utf-8"))) - words(shown)
        assert not missing, f"{path.name}: the site leaves out {list(missing)[:9]}"
    assert "data:image/png" in (tmp_path / "notebooks" / "erase.html").read_text(encoding="utf-8")


def plain(page: str) -> str:
    """The text of a page, its inline code and its code."""
    parsed = MarkdownIt("commonmark").enable("table").parse(page)
    tokens = [each for token in parsed for each in (token.children or [token])]
    left_out = ("html_block", "html_inline", "image")  # a picture's text is in its tag
    return "\n".join(each.content for each in tokens if not each.info.startswith("{") and each.type not in left_out)


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))
