"""Joint attention written out from a module's layers, for Stable Diffusion 3 and FLUX.1, single blocks too."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from turpentine.models import Model, hooked, sample
from turpentine.models.call import Call

T5 = 512
"""Tokens of text in a row of FLUX.1's."""


class Joint(NamedTuple):
    """What the picture's tokens attend to in a call, and what is there.

    Attributes:
        of_text: Row, head, token of the picture, token of the text; with `of_picture` it sums to 1.
        of_picture: The same of the picture's tokens.
        text: Values: row, head, token, width.
        picture: The same of the picture.
        out: What follows the heads side by side: a layer, or nothing in single blocks.
        given: What the module itself gives for the picture.
        keys: Of the text, by head, behind their norm, without places.
    """

    of_text: Tensor
    of_picture: Tensor
    text: Tensor
    picture: Tensor
    out: Any
    given: Tensor
    keys: Tensor

    def mixed(self, of_text: bool, of_picture: bool) -> Tensor:
        """The module's output by the values of the text, of the picture, or of both."""
        parts = (self.of_text @ self.text) * of_text + (self.of_picture @ self.picture) * of_picture
        result: Tensor = self.out(parts.transpose(1, 2).flatten(2))
        return result


def written_out(call: Call) -> Joint:
    """Write a call of joint attention out; rotary places by complex numbers."""
    attn: Any = call.module
    pixels, text = call.kwargs["hidden_states"], call.kwargs.get("encoder_hidden_states")
    is_double, turns = text is not None, call.kwargs.get("image_rotary_emb")
    if not is_double:
        text, pixels = pixels[:, :T5], pixels[:, T5:]
    count = text.shape[1]
    first = ("add_q_proj", "add_k_proj", "add_v_proj") if is_double else ("to_q", "to_k", "to_v")
    norm = "norm_added_k" if is_double else "norm_k"

    def heads(x: Tensor, norm: str = "") -> Tensor:
        x = x.unflatten(2, (attn.heads, -1)).transpose(1, 2)
        own = getattr(attn, norm, None) if norm else None
        return x if own is None else own(x)

    def placed(x: Tensor, some: slice) -> Tensor:
        if turns is None:
            return x
        angle = torch.complex(turns[0][some, ::2], turns[1][some, ::2])
        return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * angle).flatten(-2)

    with torch.no_grad():
        query = placed(heads(attn.to_q(pixels), "norm_q"), slice(count, None))
        of_text = heads(getattr(attn, first[1])(text), norm)
        keys = (
            placed(of_text, slice(0, count)),
            placed(heads(attn.to_k(pixels), "norm_k"), slice(count, None)),
        )
        whole = (query @ torch.cat(keys, 2).transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        values = heads(getattr(attn, first[2])(text)), heads(attn.to_v(pixels))
    given = call.tensor if is_double else call.tensor[:, T5:]
    out = attn.to_out[0] if is_double else nn.Identity()
    joint = Joint(whole[..., :count], whole[..., count:], *values, out, given, of_text)
    with torch.no_grad():
        torch.testing.assert_close(joint.mixed(True, True), given, atol=1e-5, rtol=1e-3)
    return joint


def steps_of(model: Model, prompts: list[str], seeds: list[int], steps: int, w: float = 4.0) -> list[list[Joint]]:
    """Draw, and write out each joint attention of each step, on the prompts' rows alone."""
    calls: list[list[Joint]] = [[] for _ in range(steps)]

    def keep(call: Call) -> None:
        joint = written_out(call)
        assert call.moment is not None
        rows = {name: getattr(joint, name)[call.rows] for name in ("of_text", "of_picture", "text", "picture", "given")}
        calls[call.moment.index].append(joint._replace(**rows))

    with hooked(model, {model.sites.only(kind="joint-attention", level="module"): keep}):
        for _ in sample(
            model, model.encode(prompts), model.encode([""]), model.noise(seeds), steps=steps, guidance_scale=w
        ):
            pass
    return calls


def own_tokens(model: Model, prompt: str) -> list[int]:
    """Return the tokens of a prompt of words that each have one, in all of the text."""
    count = len(prompt.split())
    if model.name == "flux":
        return list(range(count))
    clip = model.pipeline.tokenizer.model_max_length
    return [*range(1, count + 1), *range(clip, clip + count)]
