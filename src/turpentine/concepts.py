"""Concepts: what is to be located, explained, erased or amplified."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.safe_text import check_text

Kind = Literal["object", "style", "colour", "scene", "artist", "work", "person", "nudity"]

TEMPLATES: dict[str, tuple[str, ...]] = {
    "object": ("{}", "a {}"),
    "style": ("{} style", "a picture in {} style"),
    "colour": ("{} background", "a picture on a {} background"),
    "artist": ("by {}",),
    "scene": ("{}",),
    "work": ("{}",),
    "person": ("{}", "a photo of {}"),
    "nudity": ("{}",),
}


@dataclass(frozen=True)
class Concept:
    """A concept, and the prompts that name it.

    Args:
        text: What names the concept, such as "church".
        kind: What kind of thing it is; it decides the default templates.
        templates: Sentences with one `{}` where the text goes; by default those of the kind. "a {}" gives "an owl" too.
        keep: Texts of concepts that must not change. One text alone is one, here and in the templates.

    Raises:
        EmptyConcept: The text holds no word.
        BadArgument: The kind is unknown, a template does not hold `{}` once, or something is no valid text.

    Example:
        >>> Concept("owl").prompts
        ('owl', 'an owl')
        >>> Concept("van gogh", kind="style", templates=("a painting in {} style",), keep=("monet",)).prompts
        ('a painting in van gogh style',)
    """

    text: str
    kind: Kind = "object"
    templates: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise BadArgument(f"A concept is named by a text, not by {self.text!r}: write one, such as 'church'.")
        if not self.text.strip():
            raise EmptyConcept("The concept is empty: give the word or words that name it, such as church.")
        if self.kind not in get_args(Kind):
            raise BadArgument(f"No kind of concept is called {self.kind!r}: choose one of {', '.join(get_args(Kind))}.")
        for name in ("templates", "keep"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        for text in (self.text, *(self.templates or ()), *self.keep):
            check_text(text, "The concept's text")
        self._check_templates()

    def _check_templates(self) -> None:
        if self.templates == ():
            raise BadArgument(f"The concept {self.text!r} has no template: give one at least, or leave them out.")
        for template in self.templates or ():
            if template.count("{}") != 1:
                raise BadArgument(f"The template {template!r} must hold {{}} once, where the concept's text goes.")

    @property
    def prompts(self) -> tuple[str, ...]:
        """The text in each template, in the templates' order."""
        templates = TEMPLATES[self.kind] if self.templates is None else self.templates
        return tuple(_fill(template, self.text) for template in templates)


Concepts: TypeAlias = Concept | str | Sequence[Concept | str]
"""What is to be found or removed, one thing or several; a text stands for the concept that it names."""


def _texts(name: str, texts: Any) -> tuple[str, ...] | None:
    """Return one text or several as a tuple: a single text is a sequence of letters, which nobody means."""
    several = (texts,) if isinstance(texts, str) else texts
    if several is None and name == "templates":
        return None
    if not (isinstance(several, Sequence) and all(isinstance(text, str) and text.strip() for text in several)):
        raise BadArgument(f"A concept's {name} are texts, and {texts!r} is not: give some, such as ('a dog',).")
    return tuple(several)


def with_article(noun: str) -> str:
    """Put "a" or "an" before a noun, by its first letter.

    Example:
        >>> with_article("church"), with_article("owl")
        ('a church', 'an owl')
    """
    return f"{'an' if _begins_with_a_vowel(noun) else 'a'} {noun}"


def _begins_with_a_vowel(text: str) -> bool:
    return text.lstrip().lower().startswith(tuple("aeiou"))


def _fill(template: str, text: str) -> str:
    """The template with the text in it, "a" before it turned to "an" where the text needs it."""
    if _begins_with_a_vowel(text):
        template = re.sub(r"\b([Aa])(?= \{\})", r"\1n", template)
    return template.replace("{}", text)
