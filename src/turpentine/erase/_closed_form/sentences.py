"""Sentences in which a concept is said, and which of their tokens count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from turpentine.concepts import Concept

Positions = Literal["last", "end", "tail", "all"]
"""Tokens of a prompt: the subject's last; it and the end; it and all that follow, padding too; every one."""

FOUR = ("{}", "a photo of {}", "an image of {}", "a picture of {}")
"""The templates in which closed forms are published to say a concept."""


@dataclass(frozen=True)
class Said:
    """A prompt and the subject in it; without a subject, the whole prompt is one."""

    prompt: str
    subject: str | None = None


def said(concept: Concept, templates: tuple[str, ...]) -> list[Said]:
    """A concept in each template, or, if there is none, in its own."""
    prompts = replace(concept, templates=templates).prompts if templates else concept.prompts
    return [Said(prompt, concept.text) for prompt in prompts]
