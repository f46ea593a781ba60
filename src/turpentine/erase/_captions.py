"""Captions that methods learn a concept from: its own templates, or the embedded world's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from turpentine.concepts import Concept
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.prompts import CaptionPair, caption_pairs, others

Captions = Literal["own", "named", "implied"]
"""The concept's templates; captions of the embedded world that name it; those and others that only imply it."""


def caption_pairs_of(
    concept: Concept, captions: Captions, templates: tuple[str, ...] = (), guide: str = ""
) -> list[CaptionPair]:
    """Return captions of a concept, each with what is left of it without the concept.

    Args:
        concept: What is erased; one that the embedded world does not have is learnt from its templates.
        captions: Which.
        templates: Sentences for it, where they are its own; with none, the concept's.
        guide: What stands for it in what is left of them.
    """
    named = look_up(concept.text)
    if captions != "own" and named is not None:
        return caption_pairs(*named, implied=captions == "implied")
    one = replace(concept, templates=templates) if templates else concept
    rests = replace(one, text=_BLANK).prompts
    return [CaptionPair(text, _without(rest, guide)) for text, rest in zip(one.prompts, rests, strict=True)]


def preserved_captions(concepts: Sequence[Concept], captions: Captions) -> list[str]:
    """Return captions of the embedded world that show nothing of some concepts; none where captions are their own."""
    named = [named for one in concepts if (named := look_up(one.text))]
    return others(named) if captions != "own" and named else []


_BLANK = "\N{REPLACEMENT CHARACTER}"


def _without(rest: str, guide: str) -> str:
    """Return a sentence with the guide in the place of the blank; an article before nothing goes too."""
    before, _, after = rest.partition(_BLANK)
    if not guide and before.split()[-1:] and before.split()[-1].lower() in ("a", "an"):
        before = before.rsplit(None, 1)[0] if len(before.split()) > 1 else ""
    return " ".join(f"{before}{guide}{after}".split())
