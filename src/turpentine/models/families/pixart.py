"""PixArt-α and PixArt-Σ: a transformer that reads one T5 by cross-attention, on a schedule of betas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnsupportedModel
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder, check_schedule, check_text_encoder
from turpentine.models.families.base import Latents, TokenIds, TokenVectors, is_called
from turpentine.models.families.cross_transformer import CrossTransformer
from turpentine.models.families.schedule import Betas, Epsilon
from turpentine.models.families.transformer import check_channels, latent_of
from turpentine.models.families.transformer_sites import walk_cross
from turpentine.models.families.walk import Part

_WITH_SIZES = 128
"""Latent pixels of the size whose network reads the picture's size, in PixArt-α."""


class PixArtSigma(CrossTransformer):
    """PixArt-Σ (Chen et al. 2024, arXiv 2403.04692).

    Raises:
        UnsupportedModel: Something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "PixArt-Σ"
    pipeline_class: ClassVar[str] = "PixArtSigmaPipeline"
    drawing: tuple[int, float] = (20, 4.5)
    component_names: ClassVar[tuple[str, ...]] = ("transformer", "vae", "text_encoder")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": ("num_attention_heads", "patch_size", "sample_size", "interpolation_scale"),
        "vae": ("scaling_factor",),
        "text_encoder": ("num_heads", "feed_forward_proj"),
        "scheduler": ("prediction_type", "num_train_timesteps", "beta_start", "beta_end", "beta_schedule"),
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "*.layers.[0-9]*": "{title} reads T5, and what changes an attention of CLIP's layers has none to change.",
        **CrossTransformer.lacks,
    }
    token_length: int = 300

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.latent = latent_of(pipeline)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, ())
        check_text_encoder(self.encoder("text"), "T5Encoder", "T5")
        check_channels(self.denoiser, int(self.autoencoder.config.latent_channels), learned_variance=True)
        check_schedule(self.pipeline.scheduler)
        if self.prediction != "epsilon":
            raise UnsupportedModel(
                f"{self.title} predicts the noise: set the scheduler's prediction_type to 'epsilon'."
            )

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer, in a pipeline that is not PixArt-α's."""
        return is_pixart(pipeline) and not type(pipeline).__name__.startswith("PixArtAlpha")

    @property
    def prediction(self) -> str:
        """ "epsilon", by the scheduler that the pipeline has now."""
        return str(self.pipeline.scheduler.config.get("prediction_type", "epsilon"))

    @property
    def schedule(self) -> Betas:
        """The betas of the scheduler that the pipeline has now."""
        return Betas(self.pipeline.scheduler)

    @property
    def parametrisation(self) -> Epsilon:
        """The output is the noise."""
        return Epsilon(self.schedule)

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return T5's states, and which tokens are the prompt's."""
        mask = (ids["text"] != self.pipeline.tokenizer.pad_token_id).long().to(self.encoder("text").device)
        return Conditioning(self.states("text", ids, vectors, attention_mask=mask)[0], mask=mask)

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's prediction of the noise, without that of a variance; see `Family.predict`."""
        x = x.to(self.dtype)
        arguments = {
            "encoder_hidden_states": cond.hidden.to(x.dtype),
            "encoder_attention_mask": cond.mask,
            "timestep": t.expand(len(x)),
            "added_cond_kwargs": self._sizes(x),
            "return_dict": False,
        }
        output: Tensor = self.called((x,), arguments, parameters)[0][:, : x.shape[1]]
        return output

    def _sizes(self, x: Latents) -> dict[str, Tensor | None]:
        """Return what the network is given of the picture's size: nothing."""
        return {"resolution": None, "aspect_ratio": None}

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_cross(self.denoiser)

    def as_read(self, cond: Conditioning, what: str) -> Float[Tensor, "batch token width"]:
        """Return the text's states as the transformer projects them for all its blocks."""
        projected: Tensor = self.denoiser.caption_projection(cond.hidden.to(self.dtype))
        return projected


class PixArtAlpha(PixArtSigma):
    """PixArt-α (Chen et al. 2023, arXiv 2310.00426), whose largest network reads the picture's size."""

    title: ClassVar[str] = "PixArt-α"
    pipeline_class: ClassVar[str] = "PixArtAlphaPipeline"
    token_length: int = 120

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer in PixArt-α's pipeline."""
        return is_pixart(pipeline) and type(pipeline).__name__.startswith("PixArtAlpha")

    def _sizes(self, x: Latents) -> dict[str, Tensor | None]:
        """Return the height and width in pixels, and their ratio, for the network that reads them."""
        if self.denoiser.config.sample_size != _WITH_SIZES:
            return super()._sizes(x)
        height, width = (side * self.latent.factor for side in x.shape[-2:])
        resolution = torch.tensor([[float(height), float(width)]] * len(x), dtype=x.dtype, device=x.device)
        aspect_ratio = torch.tensor([[height / width]] * len(x), dtype=x.dtype, device=x.device)
        return {"resolution": resolution, "aspect_ratio": aspect_ratio}


def is_pixart(pipeline: Any) -> bool:
    """Return whether a pipeline has a text encoder and diffusers' transformer of PixArt."""
    has_text = getattr(pipeline, "text_encoder", None) is not None
    return has_text and is_called(getattr(pipeline, "transformer", None), "PixArtTransformer2DModel")
