"""What is asked of a model: prompts, and what their pictures should show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A prompt, and what makes its pictures a hit.

    Attributes:
        group: One of `groups.GROUPS`.
        label: What rates are given for within the group, such as "dog".
        prompt: The text to draw.
        attribute: The judge's column that decides; None where there is no ground truth.
        expected: Its value for a hit; None where there is no ground truth.
        seed: Of a file of prompts, in the place of the protocol's.
        guidance_scale: Of a file of prompts, in the place of the protocol's.
        also: Another value: a hit has this and the expected one as its two likeliest. None where one is enough.

    Example:
        >>> Case("erased", "church", "a church", "object", "church").prompt
        'a church'
    """

    group: str
    label: str
    prompt: str
    attribute: str | None = None
    expected: str | None = None
    seed: int | None = None
    guidance_scale: float | None = None
    also: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return the case in types of JSON, as digests and files have it: without `also` where one value is enough."""
        return {name: value for name, value in asdict(self).items() if name != "also" or value is not None}
