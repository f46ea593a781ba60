"""The UNet families: Stable Diffusion 1.x and 2.x, and SDXL. What differs between them is here and in text.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.func import functional_call

from turpentine.core.errors import UnsupportedModel
from turpentine.models.conditioning import Conditioning


@dataclass(frozen=True)
class Family:
    """The facts of a model that its wrapper knows and that methods never ask for.

    prediction: "epsilon" or "v_prediction", what the network itself predicts.
    channels: of a latent. height, width: of the native picture, in pixels. factor: pixels to a latent's pixel.
    tokens: the text encoder's length, start and end included. is_xl: two text encoders, pooled text and time ids.
    """

    prediction: str
    channels: int
    height: int
    width: int
    factor: int
    tokens: int
    is_xl: bool


def read_family(pipeline: Any) -> Family:
    """Read the facts from a pipeline's configs. Raises UnsupportedModel, naming what is not known."""
    unet = getattr(pipeline, "unet", None)
    if not isinstance(unet, UNet2DConditionModel) or getattr(pipeline, "text_encoder", None) is None:
        raise UnsupportedModel(
            f"{type(pipeline).__name__} is of no known family: Turpentine works on Stable Diffusion 1.x, 2.x and SDXL."
        )
    factor = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    height, width = _pair(unet.config.sample_size)
    return Family(
        prediction=_prediction(pipeline),
        channels=_channels(pipeline),
        height=height * factor,
        width=width * factor,
        factor=factor,
        tokens=min(pipeline.tokenizer.model_max_length, pipeline.text_encoder.config.max_position_embeddings),
        is_xl=getattr(pipeline, "text_encoder_2", None) is not None,
    )


def _pair(size: int | list[int] | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _prediction(pipeline: Any) -> str:
    scheduler = pipeline.scheduler
    prediction = str(scheduler.config.get("prediction_type", "epsilon"))
    if prediction not in {"epsilon", "v_prediction"} or not hasattr(scheduler, "alphas_cumprod"):
        raise UnsupportedModel(
            f"{type(scheduler).__name__} with {prediction!r} prediction is not known: a model must predict 'epsilon' "
            "or 'v_prediction' on a schedule of betas."
        )
    return prediction


def _channels(pipeline: Any) -> int:
    channels = int(pipeline.vae.config.latent_channels)
    if pipeline.unet.config.in_channels != channels:
        raise UnsupportedModel(
            f"The UNet takes {pipeline.unet.config.in_channels} channels and a latent has {channels}: inpainting, "
            "depth and image-editing models are not text-to-image models."
        )
    return channels


def predict(
    unet: UNet2DConditionModel,
    x: Float[Tensor, "batch channel height width"],
    t: Shaped[Tensor, "*rows"],
    cond: Conditioning,
    parameters: Mapping[str, Tensor] | None,
) -> Float[Tensor, "batch channel height width"]:
    """The network's own prediction (ε or v), in its own dtype; `parameters` stand in for the weights of those names."""
    arguments: dict[str, Any] = {"encoder_hidden_states": cond.hidden.to(unet.dtype), "return_dict": False}
    if cond.pooled is not None and cond.time_ids is not None:
        arguments["added_cond_kwargs"] = {"text_embeds": cond.pooled.to(unet.dtype), "time_ids": cond.time_ids}
    if parameters:
        prediction: Tensor = functional_call(unet, dict(parameters), (x.to(unet.dtype), t), arguments)[0]
    else:
        prediction = unet(x.to(unet.dtype), t, **arguments)[0]
    return prediction


def eps_from_v(
    v: Float[Tensor, "batch channel height width"],
    x: Float[Tensor, "batch channel height width"],
    alpha_bar: Float[Tensor, "*rows"],
) -> Float[Tensor, "batch channel height width"]:
    """ε = √ᾱ·v + √(1−ᾱ)·x, since v = √ᾱ·ε − √(1−ᾱ)·x₀ and x = √ᾱ·x₀ + √(1−ᾱ)·ε (Salimans and Ho 2022)."""
    a = alpha_bar.to(v.dtype).reshape(-1, 1, 1, 1)
    return torch.sqrt(a) * v + torch.sqrt(1 - a) * x
