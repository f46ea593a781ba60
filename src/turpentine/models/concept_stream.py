"""Concepts that go through the joint blocks of a transformer beside a picture, and leave it as it is.

Helbling et al. 2025 (arXiv 2502.04320), ConceptAttention. A concept's tokens are embedded, modulated and projected by
the weights of the text. They attend to each other and to the picture, and neither picture nor text attends to them.
What the attention gives for the picture's tokens and for the concepts lies in one space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from turpentine.core.errors import UnsupportedModel
from turpentine.models.attention import normed
from turpentine.models.call import Call
from turpentine.models.hooks import After, Before
from turpentine.models.model import Model
from turpentine.models.sites import DENOISER, Site, Sites

Concepts = Float[Tensor, "row concept width"]
Pixels = Float[Tensor, "row pixel width"]
Seen = Callable[[Site, Pixels, Concepts], None]
"""Is given a block's attention, and its output for the picture and for the concepts, heads side by side."""


def concept_blocks(model: Model) -> Sites:
    """Return the attention of the joint blocks in which text and picture have weights of their own.

    Raises:
        UnsupportedModel: There is none of Stable Diffusion 3's form.
    """
    kind = "joint-attention"
    named = [site.name for site in model.sites if site.kind == kind and site.level == "module"]
    named = [name for name in named if _has_form(model.module(name.removesuffix(".attn")))]
    if not named:
        raise UnsupportedModel(
            f"{model.family.title} has no joint blocks of the form of Stable Diffusion 3, through which concepts could "
            "go beside the picture: take maps."
        )
    return model.sites.named(named)


def _has_form(block: Any) -> bool:
    """Return whether a block has a norm of the text that makes its shifts of the time itself."""
    return hasattr(getattr(block, "norm1_context", None), "linear")


class ConceptStream:
    """Concepts on their way through the blocks, as the picture's rows go through them.

    Args:
        model: The model.
        concepts: States of the text encoder, one for each concept.
        seen: Called in each block.
    """

    def __init__(self, model: Model, concepts: Float[Tensor, "concept width"], seen: Seen) -> None:
        (embedder,) = model.family.readers()["hidden"]
        self._model, self._seen = model, seen
        weights: Any = model.module(embedder.name)
        self._embedded = weights.forward(concepts.to(model.dtype))
        self._attentions = concept_blocks(model)
        self._first = next(iter(self._attentions))
        self._states = self._embedded[None]
        self._modulation: Tensor | tuple[Tensor, ...] = self._states
        self._of_picture = self._states

    def hooks(self) -> tuple[dict[Site | Sites, After], dict[Site | Sites, Before]]:
        """Return what to put after sites and before sites, by `hooked`."""
        layers = self._model.sites.only(component=DENOISER, level="layer")
        whole = self._model.sites.only(component=DENOISER, level="module")
        names = [site.name for site in self._attentions]
        norms = whole.named([f"{name.removesuffix('attn')}norm1_context" for name in names])
        outputs = layers.named([f"{name}.to_out.0" for name in names])
        return {norms: self._modulate, self._attentions: self._attend}, {outputs: self._keep}

    def _modulate(self, call: Call) -> None:
        """Norm the concepts as the text is; those of a picture begin anew at the first block."""
        is_last = "emb" not in call.kwargs  # whose norm makes no shifts for what follows its attention
        time = (call.args[1] if is_last else call.kwargs["emb"])[call.rows]
        if call.site.name.startswith(f"{_block(self._first)}."):
            self._states = self._embedded.expand(len(time), -1, -1)
        module: Any = call.module
        self._modulation = module.forward(self._states, time) if is_last else module.forward(self._states, emb=time)

    def _keep(self, call: Call) -> None:
        self._of_picture = call.args[0][call.rows]

    def _attend(self, call: Call) -> None:
        """Let the concepts attend to themselves and to the picture, and take them through the rest of the block."""
        given, *changes = self._modulation if isinstance(self._modulation, tuple) else (self._modulation,)
        pixels, attention = call.kwargs["hidden_states"][call.rows], call.module
        mixed = self._mixed(attention, given, pixels, call)
        self._seen(call.site, self._of_picture, mixed)
        if changes:
            self._states = _after_attention(self._model.module(_block(call.site)), self._states, mixed, changes)

    def _mixed(self, attention: Any, given: Concepts, pixels: Pixels, call: Call) -> Concepts:
        def heads(layer: str, norm: str, tokens: Tensor) -> Tensor:
            return normed(attention, norm, getattr(attention, layer).forward(tokens))

        query, own = heads("add_q_proj", "norm_added_q", given), heads("add_k_proj", "norm_added_k", given)
        other, places = heads("to_k", "norm_k", pixels), self._model.family.places(call)
        other = other if places is None else places[0](other).to(other.dtype)
        values = [heads("add_v_proj", "", given), heads("to_v", "", pixels)]
        keys = torch.cat([own, other], dim=2)
        mixed = nn.functional.scaled_dot_product_attention(query, keys, torch.cat(values, dim=2))
        return mixed.transpose(1, 2).flatten(2)


def _after_attention(block: Any, states: Concepts, mixed: Concepts, changes: list[Tensor]) -> Concepts:
    """Return the concepts' states behind a block, whose weights for the text they go through."""
    gate, shift, scale, last_gate = (each[:, None] for each in changes)
    states = states + gate * block.attn.to_add_out.forward(mixed)
    inner = block.norm2_context.forward(states) * (1 + scale) + shift
    changed: Concepts = states + last_gate * block.ff_context.forward(inner)
    return changed


def _block(site: Site) -> str:
    return site.name.removesuffix(".attn")
