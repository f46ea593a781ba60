"""What layers read of texts: the states of a concept's tokens, and of what stands for it, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from turpentine.core.errors import EmptySelection, NotFinite
from turpentine.erase._closed_form.linear import Rows
from turpentine.erase._closed_form.sentences import Positions, Said
from turpentine.erase.common import Tally
from turpentine.models import Model, Selection, check_windowless, selected
from turpentine.models.text import Places, find_subject

BATCH = 32


def paired(keys: Sequence[Rows], guides: Sequence[Rows]) -> tuple[Rows, Rows]:
    """Blocks of keys and of guides as rows that stand beside each other: of two blocks, as many as both have."""
    lengths = [min(len(key), len(guide)) for key, guide in zip(keys, guides, strict=True)]
    return _cut(keys, lengths), _cut(guides, lengths)


def _cut(blocks: Sequence[Rows], lengths: list[int]) -> Rows:
    return torch.cat([block[:length] for block, length in zip(blocks, lengths, strict=True)])


def text_states(model: Model, texts: Sequence[Said], positions: Positions, tally: Tally) -> list[Rows]:
    """What the keys and values of cross-attention read of texts: the states of their tokens at some positions.

    A text that comes several times is encoded once. Raises EmptyConcept for a subject that is not in its prompt,
    NotFinite if the text encoder gives NaN or infinity.
    """
    distinct = tuple(dict.fromkeys(texts))
    states: dict[Said, Rows] = {}
    for batch in in_batches(distinct):
        states |= zip(batch, _encoded(model, batch, positions), strict=True)
        tally.add(len(batch))
    return [states[text] for text in texts]


def _encoded(model: Model, texts: Sequence[Said], positions: Positions) -> list[Rows]:
    # An empty prompt may be all zeros, as SDXL's is, and no layer could answer as it answers zeros; a space is not.
    hidden = model.encode([text.prompt or " " for text in texts]).hidden
    return [chosen(row, text, positions, model.pipeline.tokenizer) for row, text in zip(hidden, texts, strict=True)]


def chosen(states: Tensor, text: Said, positions: Positions, tokenizer: Any) -> Rows:
    """The states of a text's tokens (token, width) at some positions, in fp64 on the CPU."""
    places = find_subject(tokenizer, text.prompt, text.subject, length=len(states))
    rows = states[_tokens(places, positions)].to("cpu", torch.float64)
    if not torch.isfinite(rows).all():
        raise NotFinite(f"The text encoder gives NaN or infinity for {text.prompt!r}: load the model in another dtype.")
    return rows


def _tokens(places: Places, positions: Positions) -> list[int]:
    match positions:
        case "last":
            return [places.last]
        case "end":
            return [places.last, places.end]
        case "tail":
            return list(places.tail)
        case "all":
            return list(range(places.length))


def in_batches(texts: Sequence[Said]) -> Iterator[Sequence[Said]]:
    """Texts to encode together."""
    return (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))


def key_and_value_weights(model: Model, sites: Selection) -> tuple[str, ...]:
    """The weights of the keys and values of cross-attention, all of which read the text, in order of execution.

    sites: labels such as "UP2,UP3" or "DOWN?", "*" for all; see `models.selected`.
    Raises EmptySelection if there is none among them, UnknownName for an unknown site, BadArgument for a window, which
    weights cannot keep to.
    """
    chosen = selected(model.sites, sites)
    check_windowless(chosen)
    names = tuple(name for name in chosen.parameters() if name.endswith((".attn2.to_k.weight", ".attn2.to_v.weight")))
    if not names:
        raise EmptySelection(f"{chosen} holds no key or value of cross-attention: select some, such as 'UP2,UP3'.")
    return names
