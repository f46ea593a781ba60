"""Qwen-Image: joint blocks, rectified flow, and the states of Qwen2.5-VL behind a chat's instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnsupportedModel
from turpentine.models.attention import Place, probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder, check_text_encoder
from turpentine.models.families.base import (
    Latents,
    LatentSpec,
    Pixels,
    Probabilities,
    TokenIds,
    TokenVectors,
    is_called,
)
from turpentine.models.families.flow_solvers import check_flow
from turpentine.models.families.flux import Turn, packed, unpacked
from turpentine.models.families.straight_line import StraightLine
from turpentine.models.families.tokenizers import check_apart
from turpentine.models.families.transformer import JOINT_ALONE, Transformer
from turpentine.models.families.transformer_sites import walk_qwen
from turpentine.models.families.walk import Part
from turpentine.models.frame import Frame
from turpentine.models.sites import Sites

_PATCH = 2
"""Latent pixels to a side of a token."""

_TIME = 1000
"""What the pipeline divides timesteps by, and the denoiser multiplies them with."""

_MASKED = -10000.0
"""Added to the agreement with padding: e to it is 0."""


class QwenImage(StraightLine, Transformer):
    """Qwen-Image (Wu et al. 2025, arXiv 2508.02324).

    Qwen2.5-VL reads a prompt in a chat, behind an instruction to describe pictures; the transformer reads the states of
    the prompt's own tokens and of the chat's end, with a mask. Guided predictions are scaled, in each token, to the
    length of the prompt's own.

    Raises:
        UnsupportedModel: Something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "Qwen-Image"
    pipeline_class: ClassVar[str] = "QwenImagePipeline"
    drawing: tuple[int, float] = (50, 4.0)
    even_steps: ClassVar[bool] = True
    component_names: ClassVar[tuple[str, ...]] = ("transformer", "vae", "text_encoder")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": ("num_attention_heads", "patch_size", "axes_dims_rope"),
        "vae": ("latents_mean", "latents_std", "temperal_downsample"),
        "text_encoder": ("model_type",),
        "scheduler": ("num_train_timesteps",),
    }
    lacks: ClassVar[Mapping[str, str]] = {**JOINT_ALONE, **Transformer.lacks}
    token_length: int = 512

    def __init__(self, pipeline: Any) -> None:
        template = str(getattr(pipeline, "prompt_template_encode", "{}"))
        self._instruction, _, after = template.partition("{}")
        self.frame = Frame(after=after)
        super().__init__(pipeline)
        self._before: list[int] = pipeline.tokenizer(self._instruction).input_ids
        if len(self._before) != pipeline.prompt_template_encode_start_idx:
            raise UnsupportedModel(
                f"The instruction before prompts has {len(self._before)} tokens, and the pipeline leaves out "
                f"{pipeline.prompt_template_encode_start_idx}: the tokenizer is another model's."
            )
        self.latent = _latent_of(pipeline)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, ("latents_mean", "latents_std"), "AutoencoderKLQwenImage")
        check_text_encoder(self.encoder("text"), "Qwen2_5_VLForConditionalGeneration", "Qwen2.5-VL")
        config = self.denoiser.config
        for key in ("guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope"):
            if config.get(key):
                raise UnsupportedModel(f"The transformer has {key}, as models that edit pictures: give Qwen-Image.")
        channels = int(self.autoencoder.config.z_dim)
        if (config.in_channels, config.out_channels) != (_PATCH**2 * channels, channels):
            raise UnsupportedModel(
                f"The transformer takes {config.in_channels} channels and gives {config.out_channels}, and a latent "
                f"has {channels}: inpainting and image-editing models are not text-to-image models."
            )
        check_flow(self.pipeline.scheduler)

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer with a text encoder."""
        has_text = getattr(pipeline, "text_encoder", None) is not None
        return has_text and is_called(getattr(pipeline, "transformer", None), "QwenImageTransformer2DModel")

    def guide(self, uncond: Latents, cond: Latents, guidance_scale: float) -> Latents:
        """Return guided predictions whose tokens have the length of the prompt's own."""
        guided = packed(super().guide(uncond, cond, guidance_scale))
        lengths = [tokens.norm(dim=-1, keepdim=True) for tokens in (packed(cond), guided)]
        return unpacked(guided * (lengths[0] / lengths[1]), cond.shape[-2], cond.shape[-1])

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts with the chat's end.

        Raises:
            BadArgument: A prompt's first token is another one behind the instruction.
        """
        tokenizer = self.pipeline.tokenizer
        for prompt in prompts:
            framed = self.frame.put_around(prompt)
            own = tokenizer(framed, verbose=False).input_ids
            check_apart(tokenizer, self._instruction, self._before, framed, own)
        return super().tokenize(prompts)

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return the last states of the prompt's own tokens and of the chat's end, and 0 for padding; and the mask."""
        encoder, first = self.encoder("text"), len(self._before)
        own = ids["text"].to(encoder.device)
        mask = (own != self.pipeline.tokenizer.pad_token_id).long()
        used = int(mask.sum(dim=1).max())
        before = torch.tensor(self._before, device=own.device).expand(len(own), -1)
        given = None
        if vectors is not None:
            table = torch.nn.functional.embedding(before, self.token_tables()["text"]).to(vectors["text"])
            given = {"text": torch.cat([table, vectors["text"][:, :used]], dim=1)}
        whole = {"text": torch.cat([before, own[:, :used]], dim=1)}
        seen = torch.cat([torch.ones_like(before), mask[:, :used]], dim=1)
        states = self.states(
            "text", whole, given, attention_mask=seen, output_hidden_states=True, logits_to_keep=1
        ).hidden_states[-1]
        hidden = states[:, first:] * mask[:, :used, None].to(states)
        return Conditioning(torch.nn.functional.pad(hidden, (0, 0, 0, own.shape[1] - used)), mask=mask)

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's output; see `Family.predict`. Padding that no row needs is left out."""
        assert cond.mask is not None  # its own has it
        x, (height, width) = x.to(self.dtype), x.shape[-2:]
        used = int(cond.mask.sum(dim=1).max())
        arguments = {
            "encoder_hidden_states": cond.hidden[:, :used].to(x.dtype),
            "encoder_hidden_states_mask": cond.mask[:, :used],
            "timestep": t.expand(len(x)).to(x.dtype) / _TIME,
            "img_shapes": [[(1, height // _PATCH, width // _PATCH)]] * len(x),
            "return_dict": False,
        }
        return unpacked(self.called((packed(x),), arguments, parameters)[0], height, width)

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_qwen(self.denoiser, self.latent.height // (self.latent.factor * _PATCH))

    def attention(self, call: Call) -> Probabilities:
        """Yield the picture's probabilities of the text in joint attention, of padding none; see `Family.attention`."""
        pixels, text = (call.kwargs[name] for name in ("hidden_states", "encoder_hidden_states"))
        bias = (~call.kwargs["encoder_hidden_states_mask"]).to(pixels)[:, None] * _MASKED
        return probabilities(call.module, pixels[call.rows], text[call.rows], bias[call.rows], place=self.places(call))

    def places(self, call: Call) -> tuple[Place, Place]:
        """Return what turns the picture's tokens, and the text's, by their places; see `Family.places`."""
        first, second = (Turn(*_angles(freqs)) for freqs in call.kwargs["image_rotary_emb"])
        return first, second

    def with_text_of(self, call: Call, text: slice | None) -> Any:
        """Return what joint attention gives where pictures read another text; see `Family.with_text_of`."""
        words, mask = (call.kwargs[f"encoder_hidden_states{part}"][text or call.rows] for part in ("", "_mask"))
        streams = {
            "hidden_states": call.kwargs["hidden_states"][call.rows],
            "encoder_hidden_states": words,
            "encoder_hidden_states_mask": mask if text else torch.zeros_like(mask),
        }
        return call.with_tokens(call.module.forward(**{**call.kwargs, **streams})[0], slice(None))

    def readers(self) -> Mapping[str, Sites]:
        """Return the embedder of the tokens."""
        return {"hidden": self.sites().only(kind="context", level="layer")}

    def as_read(self, cond: Conditioning, what: str) -> Float[Tensor, "batch token width"]:
        """Return the text's states after a norm, as the embedder gets them."""
        normed: Tensor = self.denoiser.txt_norm(cond.hidden.to(self.dtype))
        return normed

    def from_autoencoder(self, z: Latents) -> Pixels:
        """Return what the autoencoder, which is of films, makes of films of one picture."""
        decoded: Tensor = self.autoencoder.decode(z[:, :, None], return_dict=False)[0]
        return decoded[:, :, 0]

    def to_autoencoder(self, pixels: Pixels) -> Latents:
        """Return the autoencoder's latents of films of one picture."""
        z: Tensor = self.autoencoder.encode(pixels[:, :, None]).latent_dist.mode()
        return z[:, :, 0]


def _angles(freqs: Shaped[Tensor, "token pair"]) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of places that are complex numbers, each twice."""
    return freqs.real.repeat_interleave(2, dim=-1), freqs.imag.repeat_interleave(2, dim=-1)


def _latent_of(pipeline: Any) -> LatentSpec:
    """Return the shape and scale of latents; the native size is the pipeline's, for no config has it."""
    config = pipeline.vae.config
    factor = 2 ** len(config.temperal_downsample)
    side = int(pipeline.default_sample_size) * factor
    means, stds = tuple(config.latents_mean), tuple(config.latents_std)
    return LatentSpec(int(config.z_dim), side, side, factor, 1.0, means, stds, _PATCH)
