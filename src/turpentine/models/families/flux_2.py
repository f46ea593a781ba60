"""What FLUX.2 klein and dev share: double and single blocks, rectified flow, and a text's states of three depths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from turpentine.models.attention import Place, probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder
from turpentine.models.families.base import (
    Latents,
    LatentSpec,
    Pixels,
    Probabilities,
    TokenIds,
    TokenVectors,
    is_called,
)
from turpentine.models.families.flow_solvers import check_flow, fitted_shift
from turpentine.models.families.flux import Turn, in_one_row, packed, streams, unpacked, with_text_of
from turpentine.models.families.straight_line import StraightLine
from turpentine.models.families.tokenizers import between_padding
from turpentine.models.families.transformer import JOINT_ALONE, Transformer, check_channels
from turpentine.models.families.transformer_sites import walk_flux_2
from turpentine.models.families.walk import Part
from turpentine.models.sites import Site, Sites

EMBEDDED_GUIDANCE = 4.0
"""The w that diffusers' pipeline gives a denoiser that reads one by default; predictions outside of a sampler have it,
too."""

_PATCH = 2
"""The autoencoder's latent pixels to a side of a token, which is one pixel of the latent here."""

_TIME = 1000
"""What the pipeline divides timesteps by, and the denoiser multiplies them with."""


class Flux2(StraightLine, Transformer):
    """FLUX.2 (Black Forest Labs 2025).

    A language model reads a prompt as a user's message in a chat; the transformer reads its states of three depths side
    by side, padding and all, without a mask. Tokens have places in four directions, the text's in the last. A latent is
    the autoencoder's by fours, scaled by the statistics of its batch norm.

    Raises:
        UnsupportedModel: The schedule is no straight line, or something on the pipeline changes what it computes.

    Attributes:
        layers: Of the text encoder, whose states diffusers' pipeline puts side by side by default.
    """

    even_steps: ClassVar[bool] = True
    component_names: ClassVar[tuple[str, ...]] = ("transformer", "vae", "text_encoder")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": ("num_attention_heads", "axes_dims_rope", "rope_theta", "mlp_ratio", "eps"),
        "vae": ("batch_norm_eps", "sample_size"),
        "text_encoder": ("num_attention_heads", "num_key_value_heads"),
        "scheduler": ("num_train_timesteps",),
    }
    lacks: ClassVar[Mapping[str, str]] = {
        **JOINT_ALONE,
        "*.net.2": "{title}'s feed-forward networks are gated, and what prunes a second layer of two has none.",
        **Transformer.lacks,
    }
    token_length: int = 512
    layers: ClassVar[tuple[int, ...]]
    drawing: tuple[int, float] = (50, EMBEDDED_GUIDANCE)

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.latent = _latent_of(pipeline.vae)

    @staticmethod
    def shift_of(config: Mapping[str, Any], tokens: int, steps: int) -> float:
        """Return μ by the picture's tokens and the steps; see `fitted_shift`."""
        return fitted_shift(config, tokens, steps)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, (), "AutoencoderKLFlux2")
        check_channels(self.denoiser, _PATCH**2 * int(self.autoencoder.config.latent_channels))
        check_flow(self.pipeline.scheduler)

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer with a text encoder."""
        has_text = getattr(pipeline, "text_encoder", None) is not None
        return has_text and is_called(getattr(pipeline, "transformer", None), "Flux2Transformer2DModel")

    @property
    def embeds_guidance(self) -> bool:
        """Whether the network was distilled from guided predictions, as dev's was."""
        return bool(self.denoiser.config.guidance_embeds)

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return the states of three depths side by side, those of padding, too."""
        encoder, pad = self.encoder("text"), self.tokenizers["text"].pad_token_id
        mask = between_padding(ids["text"], pad).long().to(encoder.device)
        how: dict[str, Any] = {"attention_mask": mask, "output_hidden_states": True, "logits_to_keep": 1}
        states = self.states("text", ids, vectors, use_cache=False, **how).hidden_states
        layers = layers_of(len(states) - 1, self.layers)
        return Conditioning(torch.cat([states[layer] for layer in layers], dim=-1))

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's output; see `Family.predict`."""
        x, (height, width) = x.to(self.dtype), x.shape[-2:]
        arguments = {
            "encoder_hidden_states": cond.hidden.to(x.dtype),
            "timestep": t.expand(len(x)).to(x.dtype) / _TIME,
            "guidance": cond.w_or(EMBEDDED_GUIDANCE) if self.embeds_guidance else None,
            "txt_ids": _places(1, 1, cond.hidden.shape[1]).to(x.device),
            "img_ids": _places(height, width, 1).to(x.device),
            "return_dict": False,
        }
        tokens: Tensor = self.called((x.flatten(2).transpose(1, 2),), arguments, parameters)[0]
        return tokens.transpose(1, 2).reshape(len(x), -1, height, width)

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_flux_2(self.denoiser, self.latent.height // self.latent.factor)

    def example_block(self) -> str:
        """Return the label of the last double block."""
        return f"BLOCK{len(self.denoiser.transformer_blocks)}"

    def attention(self, call: Call) -> Probabilities:
        """Yield the picture's probabilities of the text in joint attention, which sum to 1; see `Family.attention`.

        In a single block, too, whose call has text and picture in one row, and whose layers are slices of one.
        """
        pixels, text = streams(call)
        module: Any = call.module
        attention = module if hasattr(module, "to_q") else _Unfused(module)
        return probabilities(attention, pixels[call.rows], text[call.rows], place=self.places(call))

    def places(self, call: Call) -> tuple[Place, Place]:
        """Return what turns the picture's tokens, and the text's, by their places; see `Family.places`."""
        cos, sin = call.kwargs["image_rotary_emb"]
        count = streams(call)[1].shape[1]
        return Turn(cos[count:], sin[count:]), Turn(cos[:count], sin[:count])

    def with_text_of(self, call: Call, text: slice | None) -> Any:
        """Return what joint attention gives where pictures read another text; see `Family.with_text_of`."""
        return with_text_of(call, text)

    def streams_at(self, site: Site) -> tuple[slice, slice]:
        """Return where picture and text are; in single blocks they are one row. See `Family.streams_at`."""
        return in_one_row() if ".single_transformer_blocks." in site.name else super().streams_at(site)

    def readers(self) -> Mapping[str, Sites]:
        """Return the embedder of the tokens."""
        return {"hidden": self.sites().only(kind="context", level="layer")}

    def from_autoencoder(self, z: Latents) -> Pixels:
        """Return what the autoencoder makes of its own latents, of which four are one here."""
        whole = unpacked(z.flatten(2).transpose(1, 2), _PATCH * z.shape[-2], _PATCH * z.shape[-1])
        return super().from_autoencoder(whole)

    def to_autoencoder(self, pixels: Pixels) -> Latents:
        """Return the autoencoder's latents by fours."""
        z = super().to_autoencoder(pixels)
        return packed(z).transpose(1, 2).reshape(len(z), -1, z.shape[-2] // _PATCH, z.shape[-1] // _PATCH)


def layers_of(depth: int, layers: tuple[int, ...]) -> tuple[int, ...]:
    """Return the layers of a text encoder whose states are read.

    Args:
        depth: Its layers in all.
        layers: Those that the pipeline reads by default. An encoder that lacks them, as in tests, is read where they
            lie in the true one: behind a quarter, a half and three quarters.

    Example:
        >>> layers_of(36, (9, 18, 27)), layers_of(4, (9, 18, 27))
        ((9, 18, 27), (1, 2, 3))
    """
    return layers if depth >= layers[-1] else (depth // 4, depth // 2, 3 * depth // 4)


class _Unfused:
    """The attention of a single block with queries and keys by layers of their own.

    Args:
        attention: diffusers' module.
    """

    def __init__(self, attention: Any) -> None:
        self.heads, self.norm_q, self.norm_k = attention.heads, attention.norm_q, attention.norm_k
        query, key, _ = attention.to_qkv_mlp_proj.weight[: 3 * attention.inner_dim].chunk(3)
        self.to_q, self.to_k = _Slice(query), _Slice(key)


class _Slice:
    """A linear layer of some rows of another one's weight."""

    def __init__(self, weight: Float[Tensor, "out in"]) -> None:
        self._weight = weight

    def forward(self, x: Float[Tensor, "*rows in"]) -> Float[Tensor, "*rows out"]:
        """Return x·Wᵀ."""
        return nn.functional.linear(x, self._weight)


def _places(rows: int, columns: int, words: int) -> Int[Tensor, "token 4"]:
    """Return the places of a grid's tokens, or of a text's: 0, row, column, and number in the text."""
    return torch.cartesian_prod(*map(torch.arange, (1, rows, columns, words)))


def _latent_of(autoencoder: Any) -> LatentSpec:
    """Return the shape and scale of latents by the autoencoder's config and the statistics of its batch norm."""
    config, norm = autoencoder.config, autoencoder.bn
    factor, side = _PATCH * 2 ** (len(config.block_out_channels) - 1), int(config.sample_size)
    spread = (norm.running_var + config.batch_norm_eps).sqrt()
    channels = _PATCH**2 * int(config.latent_channels)
    return LatentSpec(channels, side, side, factor, 1.0, tuple(norm.running_mean.tolist()), tuple(spread.tolist()))
