"""SDXL: a UNet that reads two text encoders, a summary of the prompt, and the picture's size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch

from turpentine.core.errors import UnsupportedModel
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.base import TokenIds, TokenVectors, is_called
from turpentine.models.families.stable_diffusion import StableDiffusion, is_unet


class SDXL(StableDiffusion):
    """Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952)."""

    title: ClassVar[str] = "SDXL"
    pipeline_class: ClassVar[str] = "StableDiffusionXLPipeline"
    drawing: tuple[int, float] = (50, 5.0)
    load_options: ClassVar[Mapping[str, Any]] = {}
    added_input: ClassVar[str | None] = "text_time"
    latent_statistics: ClassVar[tuple[str, ...]] = ("latents_mean", "latents_std")
    component_names: ClassVar[tuple[str, ...]] = (*StableDiffusion.component_names, "text_encoder_2")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder", "text-2": "text_encoder_2"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **{part: keys for part, keys in StableDiffusion.identity_keys.items() if part != "scheduler"},
        "text_encoder_2": ("hidden_act", "num_attention_heads"),
        "scheduler": StableDiffusion.identity_keys["scheduler"],
    }

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is a UNet with two text encoders."""
        return is_unet(pipeline) and getattr(pipeline, "text_encoder_2", None) is not None

    def check(self, *, hooks: bool = True) -> None:
        """Check also that the second text encoder has the projection of the pooled text; see `Family.check`."""
        super().check(hooks=hooks)
        second = self.pipeline.text_encoder_2
        if not is_called(second, "CLIPTextModelWithProjection"):
            raise UnsupportedModel(
                f"text_encoder_2 is a {type(second).__name__}, which has no projection: give it as a "
                "CLIPTextModelWithProjection."
            )

    def encode(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """Return the conditioning of prompts, a row each.

        Where the pipeline says that an empty prompt is all zeros (`force_zeros_for_empty_prompt`, as SDXL was trained),
        it is. diffusers' own call has zeros for a negative prompt only that is left out: a prompt "", and
        `negative_prompt=""` by name, it encodes as any other text.
        """
        cond = super().encode(prompts, size)
        if not self.pipeline.config.get("force_zeros_for_empty_prompt"):
            return cond
        hidden, pooled = cond.hidden, cond.pooled
        assert pooled is not None  # SDXL's own has it
        spoken = torch.tensor([prompt != "" for prompt in prompts], dtype=hidden.dtype, device=hidden.device)
        return replace(cond, hidden=hidden * spoken[:, None, None], pooled=pooled * spoken[:, None])

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return the last but one states of both encoders side by side, the second's pooled text, and the sizes.

        No crop.
        """
        first, second = (self._states(component, ids, vectors) for component in self.text_encoder_names)
        hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        time_ids = torch.tensor([[*size, 0, 0, *size]] * len(hidden), dtype=hidden.dtype, device=hidden.device)
        return Conditioning(hidden, second.text_embeds, time_ids)

    def _added(self, cond: Conditioning) -> dict[str, Any]:
        if cond.pooled is None or cond.time_ids is None:
            return {}
        added = {"text_embeds": cond.pooled.to(self.dtype), "time_ids": cond.time_ids}
        return {"added_cond_kwargs": added}

    def full_precision(self) -> Iterable[str]:
        """Return the autoencoder where its config says so.

        Configs of other families' autoencoders say so too, of some that do not overflow.
        """
        return ("vae",) if self.autoencoder.config.force_upcast else ()
