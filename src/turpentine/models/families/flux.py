"""FLUX.1: double and single blocks, rectified flow, CLIP's pooled text and T5's states, and a guidance of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.models.attention import ByHead, Place, probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder, check_text_encoder
from turpentine.models.families.base import Latents, LatentSpec, Probabilities, TokenIds, TokenVectors, is_called
from turpentine.models.families.flow_solvers import check_flow
from turpentine.models.families.straight_line import StraightLine
from turpentine.models.families.transformer import Transformer, check_channels
from turpentine.models.families.transformer_sites import text_readers, walk_flux
from turpentine.models.families.walk import Part
from turpentine.models.reading import Reading
from turpentine.models.sites import Site, Sites
from turpentine.models.text import PromptReader, tokenize

T5_TOKENS = 512
"""Tokens of T5 that diffusers' pipeline reads by default."""

EMBEDDED_GUIDANCE = 3.5
"""The w that diffusers' pipeline gives the denoiser by default; predictions outside of a sampler have it, too."""

_PATCH = 2
"""Latent pixels to a side of a token."""

_TIME = 1000
"""What the pipeline divides timesteps by, and the denoiser multiplies them with."""


class Flux(StraightLine, Transformer):
    """FLUX.1 (Black Forest Labs 2024), dev and schnell.

    The text is T5's states, padding and all, without a mask; CLIP gives its pooled vector alone. Four latent pixels are
    one token, with places in the picture; tokens of the text have none. The dev network was distilled from guided
    predictions and reads w: a sampler's `guidance_scale` is that w, and there is no ε_∅. schnell's reads none, and
    `guidance_scale` is that of classifier-free guidance, which its own pipeline does without: 1.

    Raises:
        UnsupportedModel: The schedule is no straight line, or something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "FLUX.1"
    pipeline_class: ClassVar[str] = "FluxPipeline"
    drawing: tuple[int, float] = (28, EMBEDDED_GUIDANCE)
    even_steps: ClassVar[bool] = True
    component_names: ClassVar[tuple[str, ...]] = ("transformer", "vae", "text_encoder", "text_encoder_2")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder", "text-2": "text_encoder_2"}
    optional: ClassVar[frozenset[str]] = frozenset({"image_encoder", "feature_extractor"})
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": ("num_attention_heads", "patch_size", "guidance_embeds", "axes_dims_rope"),
        "vae": ("scaling_factor", "shift_factor", "sample_size"),
        "text_encoder": ("hidden_act", "num_attention_heads"),
        "text_encoder_2": ("num_heads", "feed_forward_proj"),
        "scheduler": ("num_train_timesteps",),
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "cross-attention": (
            "{title} has no cross-attention: picture and text attend to both in joint attention, and what reaches into "
            "cross-attention has nothing to reach into."
        ),
        "self-attention": "{title} has no attention of the picture to itself alone.",
        **Transformer.lacks,
    }
    token_length: int = T5_TOKENS

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.latent = latent_by_autoencoder(pipeline.vae.config)
        if not self.embeds_guidance:  # its pipeline passes the scale over
            self.drawing = (self.drawing[0], 1.0)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, ("shift_factor",))
        check_text_encoder(self.encoder("text"))
        check_text_encoder(self.encoder("text-2"), "T5Encoder", "T5")
        check_channels(self.denoiser, _PATCH**2 * int(self.autoencoder.config.latent_channels))
        check_flow(self.pipeline.scheduler)

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer with its two text encoders."""
        has_text = all(getattr(pipeline, name, None) is not None for name in ("text_encoder", "text_encoder_2"))
        return has_text and is_called(getattr(pipeline, "transformer", None), "FluxTransformer2DModel")

    @property
    def embeds_guidance(self) -> bool:
        """Whether it is a network that was distilled from guided predictions, as dev is."""
        return bool(self.denoiser.config.guidance_embeds)

    @property
    def tokenizers(self) -> Mapping[str, Any]:
        """T5's, whose tokens the denoiser reads, and CLIP's."""
        tokenizers = super().tokenizers
        return {component: tokenizers[component] for component in ("text-2", "text")}

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts for each text encoder; T5 reads longer ones than CLIP does."""
        clip = int(self.pipeline.tokenizer.model_max_length)
        lengths = {"text": clip, "text-2": T5_TOKENS}
        return {name: tokenize(tokenizer, prompts, lengths[name]) for name, tokenizer in self.tokenizers.items()}

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return T5's states, and CLIP's pooled text."""
        pooled = self.states("text", ids, vectors).pooler_output
        return Conditioning(self.states("text-2", ids, vectors)[0], pooled)

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's output; see `Family.predict`."""
        assert cond.pooled is not None  # its own has it
        x, (height, width) = x.to(self.dtype), x.shape[-2:]
        arguments = {
            "encoder_hidden_states": cond.hidden.to(x.dtype),
            "pooled_projections": cond.pooled.to(x.dtype),
            "timestep": t.expand(len(x)).to(x.dtype) / _TIME,
            "guidance": cond.w_or(EMBEDDED_GUIDANCE) if self.embeds_guidance else None,
            "txt_ids": torch.zeros(cond.hidden.shape[1], 3, dtype=x.dtype, device=x.device),
            "img_ids": _places(height // _PATCH, width // _PATCH).to(x),
            "return_dict": False,
        }
        return unpacked(self.called((packed(x),), arguments, parameters)[0], height, width)

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_flux(self.denoiser, self.latent.height // (self.latent.factor * _PATCH))

    def example_block(self) -> str:
        """Return the label of the last double block."""
        return f"BLOCK{len(self.denoiser.transformer_blocks)}"

    def attention(self, call: Call) -> Probabilities:
        """Yield the picture's probabilities of the text in joint attention, which sum to 1; see `Family.attention`.

        In a single block, too, whose call has text and picture in one row.
        """
        pixels, text = streams(call)
        return probabilities(call.module, pixels[call.rows], text[call.rows], place=self.places(call))

    def places(self, call: Call) -> tuple[Place, Place]:
        """Return what turns the picture's tokens, and the text's, which have no places;
        see `Family.places`."""
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
        """Return the embedders of the tokens and of the pooled text."""
        return text_readers(self.sites())

    def readings(self) -> tuple[Reading, ...]:
        """Return T5's tokens and the pooled vector."""
        reader = PromptReader({"text-2": self.tokenizers["text-2"]}, T5_TOKENS)
        return (Reading("hidden", reader), Reading("pooled", None))


class Turn:
    """Rotary places (Su et al. 2021, arXiv 2104.09864): each pair of numbers is turned by its token's angles.

    Args:
        cos: Of the angles, each twice, a row for each token.
        sin: Likewise.
    """

    def __init__(self, cos: Float[Tensor, "token width"], sin: Float[Tensor, "token width"]) -> None:
        self._cos, self._sin = cos, sin

    def __call__(self, x: ByHead) -> ByHead:
        """Return queries or keys with their places, in fp32."""
        even, odd = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
        quarter = torch.stack([-odd, even], dim=-1).flatten(-2)
        return x.float() * self._cos.to(x.device) + quarter * self._sin.to(x.device)


def streams(call: Call) -> tuple[Tensor, Tensor]:
    """Return the picture's and the text's tokens that an attention is called with; text is first where both are one."""
    hidden = call.kwargs["hidden_states"]
    text = call.kwargs.get("encoder_hidden_states")
    picture, words = in_one_row()
    return (hidden, text) if text is not None else (hidden[:, picture], hidden[:, words])


def with_text_of(call: Call, text: slice | None) -> Any:
    """Return what a double or a single block's attention gives where the call's own pictures read another text.

    Args:
        call: With the places of all tokens, the text's first.
        text: The rows whose text they read; None for none.
    """
    pixels, words = (tokens[rows] for tokens, rows in zip(streams(call), (call.rows, text or call.rows), strict=True))
    skipped = 0 if text else words.shape[1]
    words = words[:, skipped:]
    kwargs = {**call.kwargs, "image_rotary_emb": [turns[skipped:] for turns in call.kwargs["image_rotary_emb"]]}
    if call.kwargs.get("encoder_hidden_states") is not None:
        kwargs |= {"hidden_states": pixels, "encoder_hidden_states": words}
        return call.with_tokens(call.module.forward(**kwargs)[0], slice(None))
    kwargs["hidden_states"] = torch.cat([words, pixels], dim=1)
    return call.with_tokens(call.module.forward(**kwargs)[:, words.shape[1] :], in_one_row()[0])


def in_one_row() -> tuple[slice, slice]:
    """Return where the picture's tokens are in a single block, and where the text's, which are first."""
    count = T5_TOKENS
    return slice(count, None), slice(0, count)


def packed(x: Latents) -> Float[Tensor, "batch token number"]:
    """Return four latent pixels as one token."""
    batch, channels, height, width = x.shape
    each = x.reshape(batch, channels, height // _PATCH, _PATCH, width // _PATCH, _PATCH)
    return each.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpacked(tokens: Float[Tensor, "batch token number"], height: int, width: int) -> Latents:
    """Return the latents of tokens."""
    each = tokens.reshape(len(tokens), height // _PATCH, width // _PATCH, -1, _PATCH, _PATCH)
    return each.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def _places(rows: int, columns: int) -> Float[Tensor, "token 3"]:
    """Return row and column of each token of the picture, behind a 0."""
    grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    return torch.nn.functional.pad(grid, (1, 0)).float()


def latent_by_autoencoder(config: Any) -> LatentSpec:
    """Return the shape and scale of latents by the autoencoder's config; the transformer's has no size."""
    factor, side = 2 ** (len(config.block_out_channels) - 1), int(config.sample_size)
    mean = float(config.get("shift_factor") or 0)
    channels = int(config.latent_channels)
    means = (mean,) * channels if mean else ()
    return LatentSpec(channels, side, side, factor, config.scaling_factor, means, (), _PATCH)
