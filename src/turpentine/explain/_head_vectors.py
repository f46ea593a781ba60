"""Keys and values of words in each head of attention to the text, and the directions in which they spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.core.errors import NotFinite
from turpentine.explain._codes import is_joint, modules_of
from turpentine.explain._rereading import keys_and_values, layers_inside
from turpentine.models.attention import by_head, normed
from turpentine.models.call import Call
from turpentine.models.generate import batches
from turpentine.models.hooks import hooked
from turpentine.models.model import Model
from turpentine.models.sites import Site, Sites

Points = Float[np.ndarray, "word feature"]
Spread = Float[np.ndarray, "channel channel"]
Axes = Float[np.ndarray, "feature 2"]
Tokens = Sequence[Sequence[int]]
"""Places of tokens, for each prompt."""

BATCH = 64
"""Prompts that are encoded at a time, at most."""

ROWS = 8
"""Rows of the denoiser in a call, at most, where joint attention is looked into."""

PARTS = {"key": "to_k", "value": "to_v"}


@dataclass(frozen=True)
class HeadVectors:
    """The keys or values of the words in one head; `name` is site, label, head, and "key" or "value"."""

    name: tuple[str, str, int, str]
    points: Points
    distances: Float[np.ndarray, "word word"]
    axes: Axes


def head_vectors(
    model: Model, prompts: Sequence[str], words: Sequence[str], background: Sequence[str], seed: int
) -> list[HeadVectors]:
    """Return keys and values of the words' last tokens in each head.

    Args:
        model: The model.
        prompts: One for each word.
        words: Of the prompts.
        background: Prompts on all of whose tokens the axes are fitted; without any, on the words.
        seed: Of the noise that joint attention's blocks see.
    """
    modules, reader = modules_of(model), model.readings[0]
    last = [[reader.find(prompt, word).last] for prompt, word in zip(prompts, words, strict=True)]
    every = [list(reader.find(prompt).subject) for prompt in background]
    if is_joint(modules):
        return _of_joint(model, modules, (prompts, last), (background, every), seed)
    states = _states(model, prompts, last)
    spread = _covariance((_states(model, background, every) if background else states).double().cpu().numpy())
    return _of_cross(model, modules, states.to(model.dtype), spread)


def distances(points: Points) -> Float[np.ndarray, "word word"]:
    """Return the distance of each point to each."""
    matrix: Float[np.ndarray, "word word"] = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return matrix


def principal(spread: Float[np.ndarray, "feature feature"]) -> Axes:
    """Return the two directions of the largest variance."""
    return np.linalg.eigh(spread)[1][:, :-3:-1]


def _of_cross(model: Model, modules: Sites, states: Float[Tensor, "word width"], spread: Spread) -> list[HeadVectors]:
    """Return what the layers of cross-attention make of states, which are the same for all of them."""
    heads = []
    for site in modules:
        module: Any = model.module(site.name)
        for part, layer in PARTS.items():
            linear = getattr(module, layer)
            outputs = _finite(linear.forward(states), site, part)
            weight = linear.weight.double().cpu().numpy()
            by_heads = (np.split(each, module.heads, axis) for each, axis in ((outputs, 1), (weight, 0)))
            for head, (points, own) in enumerate(zip(*by_heads, strict=True)):
                name = (site.name, site.label, head, part)
                heads.append(HeadVectors(name, points, distances(points), principal(own @ spread @ own.T)))
    return heads


def _of_joint(
    model: Model,
    modules: Sites,
    words: tuple[Sequence[str], Tokens],
    background: tuple[Sequence[str], Tokens],
    seed: int,
) -> list[HeadVectors]:
    """Return what each block's layers make of its own stream of text, of which no block knows another's."""
    own = _recorded(model, modules, *words, seed)
    spread = _recorded(model, modules, *background, seed) if background[0] else own
    heads = []
    for site in modules:
        for part in PARTS:
            points = _finite(own[site.name, part], site, part)
            others = spread[site.name, part].double().cpu().numpy()
            for head in range(points.shape[1]):
                axes = principal(_covariance(others[:, head]))
                name = (site.name, site.label, head, part)
                heads.append(HeadVectors(name, points[:, head], distances(points[:, head]), axes))
    return heads


@torch.no_grad()
def _recorded(
    model: Model, modules: Sites, prompts: Sequence[str], tokens: Tokens, seed: int
) -> Mapping[tuple[str, str], Float[Tensor, "token head width"]]:
    """Return keys, behind their norm, and values of tokens in each block, on noise at the schedule's first time."""
    vectors: dict[tuple[str, str], list[Tensor]] = {}
    layers = layers_inside(keys_and_values(model), tuple(modules))
    module_of = {site.name: module.name for module in modules for site in layers_inside(layers, [module])}
    start, some_tokens = model.readings[0].start, list[Sequence[int]]()

    def keep(call: Call) -> None:
        name, part = module_of[call.site.name], str(call.site.role)
        attention: Any = model.module(name)
        of_text = call.tensor[:, model.family.streams_at(call.site)[1]]
        norm = "norm_added_k" if ".add_k_proj" in call.site.name else "norm_k"
        each = normed(attention, norm, of_text) if part == "key" else by_head(attention, of_text)
        rows = [row[:, [start + at for at in own]].transpose(0, 1) for row, own in zip(each, some_tokens, strict=True)]
        vectors.setdefault((name, part), []).extend(rows)

    noise, t = model.noise([seed]), model.schedule.training_steps - 1
    with hooked(model, {layers: keep}):
        for some in batches(len(prompts), ROWS):
            some_tokens[:] = tokens[some]
            cond = model.encode(prompts[some])
            model.eps(noise.repeat(len(cond), 1, 1, 1), t, cond)
    return {key: torch.cat(rows) for key, rows in vectors.items()}


def _states(model: Model, prompts: Sequence[str], tokens: Tokens) -> Float[Tensor, "token width"]:
    """Return what all layers of cross-attention read of tokens."""
    states = []
    for some in batches(len(prompts), BATCH):
        hidden = model.readings[0].states(model, model.encode(prompts[some]))
        states += [row[list(own)] for row, own in zip(hidden, tokens[some], strict=True)]
    return torch.cat(states)


def _finite(vectors: Tensor, site: Site, part: str) -> Float[np.ndarray, "word ..."]:
    """Return vectors in fp64.

    Raises:
        NotFinite: One holds NaN or infinity.
    """
    numbers: Float[np.ndarray, "word ..."] = vectors.double().cpu().numpy()
    if not np.isfinite(numbers).all():
        raise NotFinite(f"The {part}s of {site.name} hold NaN or infinity: check the model's weights.")
    return numbers


def _covariance(states: Float[np.ndarray, "token channel"]) -> Spread:
    return np.cov(states, rowvar=False, bias=True)
