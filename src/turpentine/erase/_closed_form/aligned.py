"""Captions beside what is left of them without a concept: which token of the one stands where in the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch

from turpentine.core.progress import Advance
from turpentine.erase._closed_form.linear import Rows
from turpentine.erase._closed_form.subject_prompts import SubjectPrompt
from turpentine.erase._closed_form.text_states import text_states
from turpentine.models import Model
from turpentine.models.reading import Reading
from turpentine.models.text import PromptReader


def counterparts(text: PromptReader, caption: str, rest: str) -> list[tuple[int, int]]:
    """Return the tokens of a caption whose states differ from the rest's, each with its counterpart in the rest.

    Where the rest is how the caption begins, a token's counterpart is that in its place, which may be the end or the
    padding behind it, and the last token where nothing is there. Elsewhere words before the concept and after it are
    their own, and the concept's go to what is there.

    Args:
        text: How the model reads prompts.
        caption: Names the concept.
        rest: The caption without it.

    Example:
        >>> counterparts(model.text, "a dog and a church", "a dog")[0]  # "and" goes to the end of "a dog"
        (3, 3)
        >>> counterparts(model.text, "a church and a dog", "a dog")[:4]  # "church" and "and" go to the start
        [(2, 0), (3, 0), (4, 1), (5, 2)]
    """
    words, left = caption.split(), rest.split()
    whole, part = text.find(caption), text.find(rest)
    end, end_of_rest = _end(text, caption), _end(text, rest)
    length, length_of_rest = whole.length - whole.padding, part.length - part.padding
    if words[: len(left)] == left:
        moved = [(place, min(place, length_of_rest - 1)) for place in range(end_of_rest, length)]
    else:
        before = _end(text, " ".join(_common(words, left)))
        after = _end(text, " ".join(_common(words[::-1], left[::-1])[::-1])) - _end(text, "")
        shift, last = end - end_of_rest, max(end_of_rest - after - 1, 0)
        moved = [
            (place, place - shift if place >= end - after else min(place, last)) for place in range(before, length)
        ]
    return [(whole.padding + place, part.padding + other) for place, other in moved if other < length_of_rest]


def _end(text: PromptReader, prompt: str) -> int:
    """Return the place of the first token behind a prompt's words, without the padding before."""
    places = text.find(prompt)
    return places.end - places.padding


def _common(words: Sequence[str], others: Sequence[str]) -> list[str]:
    return [word for word, _ in takewhile(lambda pair: pair[0] == pair[1], zip(words, others, strict=False))]


def aligned_states(
    model: Model, pairs: Sequence[tuple[SubjectPrompt, SubjectPrompt]], reading: Reading, *, advance: Advance
) -> tuple[Rows, Rows]:
    """Return the states of captions' tokens, and those of their counterparts in what is left, row by row.

    Args:
        model: The model whose text encoder is used.
        pairs: A caption and its rest each.
        reading: Which part of the text; a pooled vector's counterpart is the rest's.
        advance: Called after each batch with the number of distinct prompts in it.
    """
    states = text_states(model, [prompt for pair in pairs for prompt in pair], "all", reading=reading, advance=advance)
    if reading.text is None:
        return torch.cat(states[::2]), torch.cat(states[1::2])
    keys, targets = [], []
    for (caption, rest), key, target in zip(pairs, states[::2], states[1::2], strict=True):
        for place, other in counterparts(reading.text, caption.prompt, rest.prompt):
            keys.append(key[place])
            targets.append(target[other])
    return torch.stack(keys), torch.stack(targets)
