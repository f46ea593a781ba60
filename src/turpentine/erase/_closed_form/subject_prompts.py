"""Prompts with a concept in them, and which of their tokens count; importing this takes no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from turpentine.concepts import Concept

Positions = Literal["last", "end", "tail", "all"]
"""Tokens of a prompt: the subject's last; it and the end; it and all that follow, padding too; every one."""

FOUR = ("{}", "a photo of {}", "an image of {}", "a picture of {}")
"""The templates with which closed forms are published."""


@dataclass(frozen=True)
class SubjectPrompt:
    """A prompt and the subject in it; without a subject, the whole prompt is the subject."""

    prompt: str
    subject: str | None = None


def subject_prompts(concept: Concept, templates: tuple[str, ...]) -> list[SubjectPrompt]:
    """Return a concept in each template, or in its own templates if there is none.

    Example:
        >>> subject_prompts(Concept("church"), ("a photo of {}",))
        [SubjectPrompt(prompt='a photo of church', subject='church')]
    """
    prompts = replace(concept, templates=templates).prompts if templates else concept.prompts
    return [SubjectPrompt(prompt, concept.text) for prompt in prompts]
