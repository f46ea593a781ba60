from __future__ import annotations

from typing import get_args

from turpentine.concepts import Kind
from turpentine.tasks.groups import GROUPS, SUMMARIES, heading, is_preserved


def test_every_group_is_summed_up_once() -> None:
    summed = [group for groups in SUMMARIES.values() for group in groups]
    assert sorted(summed) == sorted(GROUPS)


def test_only_what_names_or_implies_it_is_to_go() -> None:
    assert [group for group in GROUPS if not is_preserved(group)] == ["erased", "scene"]


def test_every_group_has_a_heading_of_its_own_for_every_kind() -> None:
    for kind in ("", *get_args(Kind)):
        headings = [heading(group, kind) for group in GROUPS]
        assert len(set(headings)) == len(GROUPS)
        assert all(text[0].isupper() for text in headings)


def test_headings_say_what_kind_of_thing_is_erased() -> None:
    assert heading("other", "style") == "Other styles"
    assert heading("scene", "artist") == "By title alone"
    assert heading("scene") == "Implied"
    assert heading("a group of one's own", "style") == "a group of one's own"
