"""What an audit did not try, by its own protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turpentine.core.plugins import plugins


def not_tried(protocol: Mapping[str, Any]) -> str:
    """Return in sentences what an audit with a protocol did not try.

    Args:
        protocol: As `Audited` has it.

    Example:
        >>> protocol = {"attacks": [["cce", {}]], "left_out": ["p4d"], "judge": ["emoji"], "second": None, "arms": {}}
        >>> not_tried(protocol).split(". ")[:2]
        ['There was no time for p4d', 'No search was repeated from another seed or with a larger budget']
    """
    tried, left_out = [name for name, _ in protocol["attacks"]], list(protocol["left_out"])
    others = sorted(set(plugins("attack")) - {*tried, *left_out})
    judges = [str(facts[0]) for facts in (protocol["judge"], protocol["second"]) if facts]
    oracles = [name for name in protocol["arms"] if name.split()[0] == "oracle"]
    sentences = [
        f"There was no time for {', '.join(left_out)}." if left_out else "",
        "No search was repeated from another seed or with a larger budget.",
        f"Nor were other attacks tried: {', '.join(others)}." if others else "",
        "" if _has_other_names(protocol["attacks"]) else "Nobody looked for it by its names in other languages.",
        f"No judge looked but {' and '.join(judges)}, and no person.",
        "" if oracles else "No model that never saw it was there to compare with.",
        "The model that never saw it was of one seed." if len(oracles) == 1 else "",
    ]
    return " ".join(each for each in sentences if each)


def _has_other_names(attacks: list[Any]) -> bool:
    """Return whether an attack took prompts or names of a file, which may be of any language."""
    return any(settings.get(name, "None") != "None" for _, settings in attacks for name in ("file", "prompts"))
