"""States of prompts' tokens that layers read: the rows of keys, targets and preserved states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from turpentine.core.errors import EmptySelection, NotFinite
from turpentine.core.progress import Advance, ignore
from turpentine.erase._closed_form.linear import Rows
from turpentine.erase._closed_form.subject_prompts import Positions, SubjectPrompt
from turpentine.models import Model, Selection, check_windowless, selected
from turpentine.models.reading import Reading
from turpentine.models.text import Places

BATCH = 32


def align(keys: Sequence[Rows], targets: Sequence[Rows], *, repeats: bool = False) -> tuple[Rows, Rows]:
    """Join blocks of keys and of targets row by row; two blocks of unequal length are cut to the shorter.

    Args:
        keys: Blocks of rows.
        targets: As many.
        repeats: Whether a block of targets that is shorter than its keys is filled up with its last row instead.
    """
    if repeats:
        targets = [
            torch.cat([target, target[-1:].expand(max(len(key) - len(target), 0), -1)])
            for key, target in zip(keys, targets, strict=True)
        ]
    both = cut_alike(keys, targets)
    return torch.cat(both[0]), torch.cat(both[1])


def cut_alike(keys: Sequence[Rows], targets: Sequence[Rows]) -> tuple[list[Rows], list[Rows]]:
    """Return blocks of keys and of targets, two of unequal length cut to the shorter."""
    lengths = [min(len(key), len(target)) for key, target in zip(keys, targets, strict=True)]
    pairs = list(zip(keys, targets, lengths, strict=True))
    return [key[:length] for key, _, length in pairs], [target[:length] for _, target, length in pairs]


def text_states(
    model: Model,
    prompts: Sequence[SubjectPrompt],
    positions: Positions,
    *,
    reading: Reading | None = None,
    advance: Advance = ignore,
) -> list[Rows]:
    """Return what the first layers that read the text get of prompts: the states of some of their tokens.

    A prompt that comes several times is encoded once.

    Args:
        model: The model whose text encoder is used.
        prompts: Prompts with their subjects.
        positions: Which tokens of each prompt.
        reading: Which part of the text; by default the first one, the only one of models with cross-attention.
        advance: Called after each batch with the number of distinct prompts in it.

    Raises:
        EmptyConcept: A subject is not in its prompt.
        NotFinite: The text encoder gives NaN or infinity.
    """
    states: dict[SubjectPrompt, Rows] = {}
    part = model.readings[0] if reading is None else reading
    for batch in in_batches(tuple(dict.fromkeys(prompts))):
        states |= zip(batch, _encode(model, batch, positions, part), strict=True)
        advance(len(batch))
    return [states[prompt] for prompt in prompts]


def _encode(model: Model, prompts: Sequence[SubjectPrompt], positions: Positions, reading: Reading) -> list[Rows]:
    # An empty prompt may be all zeros, as SDXL's is, and no layer could map anything to zeros' output; a space is not.
    states = reading.states(model, model.encode([each.prompt or " " for each in prompts]))
    places = [reading.find(each.prompt, each.subject) for each in prompts]
    return [token_states(*each, positions) for each in zip(states, prompts, places, strict=True)]


def token_states(states: Tensor, prompt: SubjectPrompt, places: Places, positions: Positions) -> Rows:
    """Pick the states (token, width) of a prompt's tokens at some positions, in fp64 on the CPU."""
    rows = states[_tokens(places, positions)].to("cpu", torch.float64)
    if not torch.isfinite(rows).all():
        raise NotFinite(
            f"The text encoder gives NaN or infinity for {prompt.prompt!r}: load the model in another dtype."
        )
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


def in_batches(prompts: Sequence[SubjectPrompt]) -> Iterator[Sequence[SubjectPrompt]]:
    """Split prompts into batches that are encoded together."""
    return (prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH))


def key_and_value_weights(model: Model, sites: Selection) -> tuple[str, ...]:
    """Return the names of the key and value weights of cross-attention in a selection, in order of execution.

    Args:
        model: The model.
        sites: Labels such as "UP2,UP3" or "DOWN?", "*" for all; see `models.selected`.

    Raises:
        EmptySelection: There is none among the sites.
        UnknownName: A site does not exist.
        BadArgument: The sites have a window, which an edit of weights cannot observe.
    """
    chosen = selected(model.sites, sites)
    check_windowless(chosen)
    reading = set(model.sites.only(kind="cross-attention", level="layer", role=("key", "value")).parameters())
    names = tuple(name for name in chosen.parameters() if name in reading and name.endswith(".weight"))
    if not names:
        raise EmptySelection(f"{chosen} holds no key or value of cross-attention: select some, such as 'UP2,UP3'.")
    return names


def reader_weights(model: Model, sites: Selection) -> dict[str, tuple[str, ...]]:
    """Return the weights in a selection that read the text first, by what they read, in order of execution.

    They are the keys and values of cross-attention, or where there is none what embeds the text for joint attention.

    Args:
        model: The model.
        sites: As in `key_and_value_weights`.

    Raises:
        EmptySelection: There is none among the sites.
        UnknownName: A site does not exist.
        BadArgument: The sites have a window, which an edit of weights cannot observe.
    """
    chosen = selected(model.sites, sites)
    check_windowless(chosen)
    weights = [name for name in chosen.parameters() if name.endswith(".weight")]
    readers = {what: set(layers.parameters()) for what, layers in model.family.readers().items()}
    groups = {what: tuple(name for name in weights if name in names) for what, names in readers.items()}
    groups = {what: names for what, names in groups.items() if names}
    if not groups:
        first = next(iter(next(iter(model.family.readers().values()))))
        what = "key or value of cross-attention" if first.kind == "cross-attention" else "weight that reads the text"
        raise EmptySelection(f"{chosen} holds no {what}: select some, such as {first.label or first.name!r}.")
    return groups
