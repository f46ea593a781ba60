"""The README as a package index shows it, where a link to a file of the repository leads nowhere.

TURPENTINE_REPOSITORY=https://HOST/OWNER/NAME python tools/published_readme.py

prints it with links to the release's tag there; without the address it has no such links and no such pictures.
`hatch_build.py` puts it into what is built.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
ADDRESS = "TURPENTINE_REPOSITORY"
"""The environment variable that has the repository's address."""
LINK = re.compile(r"(!?)\[([^][]*)\]\((?![a-z]+:|#)([^()\s]+)\)")
"""A link, or a picture, of a file beside this one."""


def address_of(environment: Mapping[str, str]) -> str:
    """Return the repository's address, "" where none is given.

    Args:
        environment: The environment's variables.

    Raises:
        ValueError: It is no address of a web page.
    """
    address = environment.get(ADDRESS, "").strip().rstrip("/")
    if address and not re.fullmatch(r"https://[^\s/]+/\S+", address):
        raise ValueError(f"{ADDRESS} is {address!r}: give a repository's address, as https://HOST/OWNER/NAME.")
    return address


def published(text: str, address: str, version: str) -> str:
    """Return a README whose links work outside of its repository.

    Args:
        text: The README, with links relative to itself.
        address: The repository's; with "" links become their text, and pictures go.
        version: Of the release, whose tag is `v` and this.
    """

    def replaced(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        if not address:
            return "" if mark else words
        return f"{mark}[{words}]({address}/{'raw' if mark else 'blob'}/v{version}/{target})"

    return LINK.sub(replaced, text)


def urls(address: str, version: str) -> dict[str, str]:
    """Return the links that an index shows beside a release; none without an address."""
    if not address:
        return {}
    tree = f"{address}/blob/v{version}"
    pages = {"Documentation": f"{tree}/docs/index.md", "Changelog": f"{tree}/CHANGELOG.md"}
    return {"Repository": address, "Issues": f"{address}/issues", **pages}


if __name__ == "__main__":
    release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    print(published((ROOT / "README.md").read_text(encoding="utf-8"), address_of(os.environ), release))
