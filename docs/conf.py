"""How Sphinx builds the site: `make docs`. Nothing of it needs a network."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import Any

project = "Turpentine"
author = "The Turpentine authors"
copyright = author
version = release = version_of("turpentine")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "Turpentine"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 4
# A line of ours that begins with a percent sign is no comment, nor is one with three plus signs a break.
myst_disable_syntax = ["myst_line_comment", "myst_block_break"]
smartquotes_action = "D"  # dashes; quotes stay as they are typed
# Notebooks are shown as they lie in the repository, with what their cells gave; tests/test_docs.py runs them.
nb_execution_mode = "off"

# Docstrings are Google's sections in plain text, where `x` is code.
default_role = "code"
napoleon_numpy_docstring = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False

ELSEWHERE = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changes.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../src/turpentine/emoji/weights/README.md": "card.md",
    "../src/turpentine/emoji/larger/README.md": "card-larger.md",
    "../src/turpentine/emoji/mmdit/README.md": "card-mmdit.md",
    "../src/turpentine/emoji/retrained/emoji-without-church/README.md": "card-without-church.md",
    "../src/turpentine/emoji/retrained/emoji-unnamed-church/README.md": "card-unnamed-church.md",
}
"""Files of the repository that pages link to, and the page of the site that shows each."""


def as_a_page(app: Any, name: str, source: list[str]) -> None:
    """Let links between files of the repository, and anchors as GitHub reads them, be those of the site."""
    text = source[0]
    for file, page in ELSEWHERE.items():
        text = text.replace(f"]({file}", f"]({page}")
    source[0] = re.sub(r'<a id="([^"]+)"></a>', r"[]{#\1}", text)


def as_plain_text(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Let a docstring's bars and asterisks be what they are: norms and products, not marks of reStructuredText."""
    for index, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            parts = re.split(r"(``?[^`]*``?)", line)
            lines[index] = "".join(part if part.startswith("`") else bare(part) for part in parts)


def bare(text: str) -> str:
    """Return a text in which no bar and no single asterisk is a mark."""
    return re.sub(r"(?<![\\*])\*(?!\*)", r"\\*", text.replace("|", r"\|"))


def setup(app: Any) -> None:
    """Connect both."""
    app.connect("source-read", as_a_page)
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)  # before napoleon's, which writes marks
