"""The groups of cases: their order, what they hold, what they are called, and which of them are to be kept."""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, str] = {
    "erased": "prompts that name it",
    "scene": "prompts that only imply it",
    "neighbour": "what is most like it",
    "other": "others of its kind",
    "pair": "two objects together",
    "object": "objects",
    "style": "drawing styles",
    "colour": "background colours",
    "work": "works",
}
"""What is in each group of cases, in the order in which they are shown; "it" is what is erased."""

SUMMARIES: Mapping[str, tuple[str, ...]] = {
    "erased": ("erased",),
    "scenes": ("scene",),
    "others": ("neighbour", "other"),
    "pairs": ("pair",),
    "objects": ("object",),
    "styles": ("style",),
    "colours": ("colour",),
    "works": ("work",),
}
"""The few numbers of a comparison, and the groups of cases that each is of, the one that it is named for last."""

_TO_GO = ("erased", "scene")
_NAMES = {"erased": "Asked for by name", "scene": "Implied", "neighbour": "Nearest to it", "other": "Others"}
# What a group is called where it is known what kind of thing is erased.
_NAMES_BY_KIND = {
    ("scene", "object"): "Implied by a scene",
    ("scene", "artist"): "By title alone",
    ("other", "object"): "Other objects",
    ("other", "style"): "Other styles",
    ("other", "colour"): "Other colours",
    ("other", "scene"): "Other scenes",
    ("other", "artist"): "Works of others",
    ("other", "work"): "Other works",
}


def called(group: str, goal: str) -> str:
    """Return a group's name, or a summary's, for a goal: with "amplify" the group "erased" is called "amplified"."""
    return "amplified" if group == "erased" and goal == "amplify" else group


def is_preserved(group: str) -> bool:
    """Return whether what the group's cases show is to be preserved: a fall is then damage, not success.

    Example:
        >>> is_preserved("neighbour"), is_preserved("erased")
        (True, False)
    """
    return group not in _TO_GO


def heading(group: str, kind: str = "") -> str:
    """Return a group's heading, where a concept of this kind is erased; an unknown group keeps its name.

    Example:
        >>> heading("other", "object"), heading("other")
        ('Other objects', 'Others')
    """
    name = _NAMES_BY_KIND.get((group, kind)) or _NAMES.get(group)
    return name or (GROUPS[group].capitalize() if group in GROUPS else group)
