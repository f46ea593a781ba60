"""Stable Diffusion 1.x and 2.x: a UNet that reads one CLIP text encoder by cross-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnsupportedModel
from turpentine.models.attention import probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import (
    check_autoencoder,
    check_inputs,
    check_schedule,
    check_text_encoder,
)
from turpentine.models.families.base import (
    Family,
    Latents,
    LatentSpec,
    Probabilities,
    TokenIds,
    TokenVectors,
    is_called,
)
from turpentine.models.families.original_names import unet_modules
from turpentine.models.families.schedule import PARAMETRISATIONS, Betas, Parametrisation
from turpentine.models.families.token_vectors import reading
from turpentine.models.families.unet_sites import find_sites
from turpentine.models.sites import Sites


class StableDiffusion(Family):
    """Stable Diffusion 1.x and 2.x, which predict ε or v on a schedule of betas.

    Raises:
        UnsupportedModel: The pipeline predicts something else, its UNet takes more than a latent and a text, or
            something on it changes what it computes.
    """

    title: ClassVar[str] = "Stable Diffusion"
    pipeline_class: ClassVar[str] = "StableDiffusionPipeline"
    # The safety checker is a network of its own that blackens pictures.
    load_options: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    component_names: ClassVar[tuple[str, ...]] = ("unet", "vae", "text_encoder")
    denoiser_name: ClassVar[str] = "unet"
    added_input: ClassVar[str | None] = None
    latent_statistics: ClassVar[tuple[str, ...]] = ()
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "unet": ("attention_head_dim", "down_block_types", "up_block_types", "sample_size"),
        "vae": ("scaling_factor",),
        "text_encoder": ("hidden_act", "num_attention_heads"),
        "scheduler": ("prediction_type", "num_train_timesteps", "beta_start", "beta_end", "beta_schedule"),
    }

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.token_length = min(
            pipeline.tokenizer.model_max_length, pipeline.text_encoder.config.max_position_embeddings
        )
        self._schedule = Betas(pipeline.scheduler)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the UNet reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, self.latent_statistics)
        for name in self.text_encoder_names.values():
            check_text_encoder(getattr(self.pipeline, name))
        check_inputs(self.denoiser, int(self.autoencoder.config.latent_channels), self.added_input)
        check_schedule(self.pipeline.scheduler)
        self.latent = _latent(self.pipeline)  # somebody may have put another autoencoder there

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is a UNet with one text encoder."""
        return is_unet(pipeline) and getattr(pipeline, "text_encoder_2", None) is None

    @classmethod
    def level_widths(cls, config: Mapping[str, Any]) -> Sequence[int]:
        """Return the channels of the UNet's levels, from the picture's own resolution down."""
        return [int(width) for width in config["block_out_channels"]]

    @property
    def tokenizers(self) -> Mapping[str, Any]:
        """The tokenizer of each text encoder: `tokenizer_2` is that of `text_encoder_2`."""
        return {
            component: getattr(self.pipeline, encoder.replace("text_encoder", "tokenizer"), None)
            for component, encoder in self.text_encoder_names.items()
        }

    @property
    def schedule(self) -> Betas:
        """The betas of the pipeline's scheduler."""
        if self._schedule.trained is not self.pipeline.scheduler:  # somebody has put another one there
            self._schedule = Betas(self.pipeline.scheduler)
        return self._schedule

    @property
    def prediction(self) -> str:
        """ "epsilon" or "v_prediction", by the scheduler that the pipeline has now."""
        return str(self.pipeline.scheduler.config.get("prediction_type", "epsilon"))

    @property
    def parametrisation(self) -> Parametrisation:
        """Whether the UNet's output is ε or v."""
        return PARAMETRISATIONS[self.prediction](self.schedule)

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return the encoder's last states, after its final norm."""
        return Conditioning(self._states("text", ids, vectors).last_hidden_state)

    def _states(self, component: str, ids: TokenIds, vectors: TokenVectors | None) -> Any:
        encoder = self.encoder(component)
        with reading(encoder, vectors[component] if vectors else None):
            return encoder(ids[component].to(encoder.device), output_hidden_states=True)

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the UNet's output; see `Family.predict`."""
        x = x.to(self.dtype)
        arguments = {"encoder_hidden_states": cond.hidden.to(x.dtype), "return_dict": False, **self._added(cond)}
        output: Tensor = self.called((x, t), arguments, parameters)[0]
        return output

    def _added(self, cond: Conditioning) -> dict[str, Any]:
        """Return what the UNet is given beside the text."""
        return {}

    def sites(self) -> Sites:
        """Return all sites, text encoders first, then the UNet."""
        return find_sites(self.denoiser, {component: self.encoder(component) for component in self.encoder_names})

    def readers(self) -> Mapping[str, Sites]:
        """Return the keys and values of cross-attention."""
        return {"hidden": self.sites().only(kind="cross-attention", level="layer", role=("key", "value"))}

    def attention(self, call: Call) -> Probabilities:
        """Yield the probabilities of `attn2`; see `Family.attention`."""
        pixels = call.args[0] if call.args else call.kwargs["hidden_states"]
        text = call.kwargs["encoder_hidden_states"]
        return probabilities(call.module, pixels[call.rows], text[call.rows])

    def with_text(self, call: Call, cond: Conditioning) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of `attn2` with another text on the call's own rows."""
        hidden = call.kwargs["encoder_hidden_states"].clone()
        hidden[call.rows] = cond.hidden.to(hidden)
        return call.args, {**call.kwargs, "encoder_hidden_states": hidden}

    @torch.no_grad()
    def embed_time(self, t: Shaped[Tensor, " step"]) -> Float[Tensor, "step feature"]:
        """Return the embedding that every resnet reads; what SDXL adds to it is not in it."""
        unet = self.denoiser
        embedded: Tensor = unet.time_embedding(unet.time_proj(t.to(unet.device)).to(self.dtype))
        return embedded.float()

    def example_block(self) -> str:
        """Return the first label of the last up block but one: of Stable Diffusion's four, the third, so UP4.

        Where that one reads no text, as in a UNet of two levels, it is the last block's.
        """
        modules = self.sites().only(kind="cross-attention", level="module")
        first: dict[str, str] = {
            site.name.split(".")[2]: site.label for site in [*modules][::-1] if ".up_blocks." in site.name
        }
        last = len(self.denoiser.up_blocks) - 1
        return next(first[str(block)] for block in (last - 1, last) if str(block) in first)

    def original_names(self) -> Mapping[str, str]:
        """Return the UNet's modules under the names of the original Stable Diffusion."""
        return unet_modules(self.denoiser)


def is_unet(pipeline: Any) -> bool:
    """Return whether a pipeline has text encoders and diffusers' conditional UNet."""
    has_text = getattr(pipeline, "text_encoder", None) is not None
    return has_text and is_called(getattr(pipeline, "unet", None), "UNet2DConditionModel")


def _latent(pipeline: Any) -> LatentSpec:
    config, channels = pipeline.vae.config, int(pipeline.vae.config.latent_channels)
    factor = 2 ** (len(config.block_out_channels) - 1)
    height, width = _pair_of(pipeline.unet.config.sample_size)
    # diffusers' pipeline of SDXL takes a mean and a spread if both are there.
    statistics = [tuple(config[key]) for key in ("latents_mean", "latents_std") if config.get(key) is not None]
    mean, std = statistics if len(statistics) == 2 else ((), ())
    return LatentSpec(channels, height * factor, width * factor, factor, config.scaling_factor, mean, std)


def _pair_of(size: int | Sequence[int] | None) -> tuple[int, int]:
    """Return the height and width of a config's size, which may be one number for both.

    Raises:
        UnsupportedModel: The config has none.
    """
    if size is None:
        raise UnsupportedModel("The denoiser's config has no sample_size: set it, to 64 for pictures of 512 pixels.")
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
