"""The README on a package index: links lead to the release's tag, or there are none."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOL = runpy.run_path(str(ROOT / "tools" / "published_readme.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "https://example.org/someone/turpentine"
TARGET = re.compile(r"\]\(([^)\s]+)\)")


def test_links_of_the_readme_lead_to_the_same_files_of_the_release() -> None:
    shown = TOOL["published"](README, ADDRESS, "1.2.3")
    before, after = TARGET.findall(README), TARGET.findall(shown)
    assert len(before) > 20
    kinds = [re.search(rf"(!?)\[[^][]*\]\({re.escape(each)}\)", README)[1] for each in before]
    assert after == [
        f"{ADDRESS}/{'raw' if mark else 'blob'}/v1.2.3/{each}" for mark, each in zip(kinds, before, strict=True)
    ]
    assert f"{ADDRESS}/raw/v1.2.3/docs/church.png" in after
    assert TARGET.sub("]()", shown) == TARGET.sub("]()", README)


def test_without_an_address_words_stay_and_links_and_pictures_go() -> None:
    shown = TOOL["published"](README, "", "1.2.3")
    assert TARGET.findall(shown) == [] and "church.png" not in shown
    assert "Then five minutes." in shown and "Ten methods in one table" in shown
    fences = re.findall(r"^```.*?^```", README, re.MULTILINE | re.DOTALL)
    assert fences and all(each in shown for each in fences)


def test_links_to_elsewhere_and_within_stay() -> None:
    text = "[a](https://example.org/a) [b](mailto:b@example.org) [c](#c) ![d](https://example.org/d.png)"
    assert TOOL["published"](text, ADDRESS, "1") == text == TOOL["published"](text, "", "1")


def test_an_index_shows_addresses_only_where_one_is_given() -> None:
    assert TOOL["urls"]("", "1") == {}
    assert TOOL["urls"](ADDRESS, "1")["Changelog"] == f"{ADDRESS}/blob/v1/CHANGELOG.md"


def test_an_address_is_read_from_the_environment_and_a_wrong_one_is_refused() -> None:
    assert TOOL["address_of"]({}) == "" and TOOL["address_of"]({"TURPENTINE_REPOSITORY": f"{ADDRESS}/"}) == ADDRESS
    with pytest.raises(ValueError, match="give a repository's address"):
        TOOL["address_of"]({"TURPENTINE_REPOSITORY": "someone/turpentine"})


def test_it_can_be_looked_at_before() -> None:
    command = [sys.executable, str(ROOT / "tools" / "published_readme.py")]
    done = subprocess.run(command, env={"TURPENTINE_REPOSITORY": ADDRESS}, capture_output=True, check=True)
    assert f"({ADDRESS}/blob/v" in done.stdout.decode("utf-8")
