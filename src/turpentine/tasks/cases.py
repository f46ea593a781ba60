"""What is asked of a model: prompts, and what their pictures should show."""

from __future__ import annotations

from dataclasses import dataclass


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
