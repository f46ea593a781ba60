"""What is to be found, erased, amplified or audited."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from turpentine.core.errors import BadArgument, EmptyConcept

Kind = Literal["object", "style", "colour", "scene", "artist", "work"]

TEMPLATES: dict[str, tuple[str, ...]] = {
    "object": ("{}", "a {}"),
    "style": ("{} style", "a picture in {} style"),
    "colour": ("{} background", "a picture on a {} background"),
    "artist": ("by {}",),
    "scene": ("{}",),
    "work": ("{}",),
}


@dataclass(frozen=True)
class Concept:
    """A concept, and the prompts that name it.

    text: what names the concept, such as "church".
    kind: what sort of thing it is; it chooses the default templates.
    templates: sentences with one `{}` where the text goes; by default those of the kind. "a {}" gives "an owl" too.
    keep: texts of concepts that must not change.

    Raises EmptyConcept for a text without a word, BadArgument for an unknown kind or a template without `{}`.
    """

    text: str
    kind: Kind = "object"
    templates: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise EmptyConcept("The concept is empty: give the word or words that name it, such as Concept('church').")
        if self.kind not in get_args(Kind):
            raise BadArgument(f"No kind of concept is called {self.kind!r}: choose one of {', '.join(get_args(Kind))}.")
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
        return tuple(_filled(template, self.text) for template in templates)


def with_article(noun: str) -> str:
    """`"a church"`, `"an owl"`: by the first letter, which stands for its sound."""
    return f"{'an' if _begins_with_a_vowel(noun) else 'a'} {noun}"


def _begins_with_a_vowel(text: str) -> bool:
    return text.lstrip().lower().startswith(tuple("aeiou"))


def _filled(template: str, text: str) -> str:
    """The text in its place, with the article that suits it where the template says "a"."""
    if _begins_with_a_vowel(text):
        template = re.sub(r"\b([Aa])(?= \{\})", r"\1n", template)
    return template.replace("{}", text)
