"""Stable Diffusion 3 and 3.5: a transformer of joint blocks, rectified flow, two CLIP text encoders and a T5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Shaped
from torch import Tensor

from turpentine.models.attention import probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder, check_text_encoder
from turpentine.models.families.base import Latents, Probabilities, TokenIds, TokenVectors, is_called
from turpentine.models.families.flow_solvers import check_flow
from turpentine.models.families.straight_line import StraightLine
from turpentine.models.families.transformer import Transformer, check_channels, latent_of
from turpentine.models.families.transformer_sites import text_readers, walk_joint
from turpentine.models.families.walk import Part
from turpentine.models.reading import Reading
from turpentine.models.sites import Sites
from turpentine.models.text import PromptReader, tokenize

T5_TOKENS = 256
"""Tokens of T5 that diffusers' pipeline reads, or the zeros in their place where T5 is left out."""

_CLIP = ("hidden_act", "num_attention_heads")


class StableDiffusion3(StraightLine, Transformer):
    """Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv 2403.03206).

    The text is the last states but one of both CLIP encoders side by side, filled up with zeros to T5's width, and then
    T5's states as further tokens; the pooled text is that of both CLIP encoders. Where T5 is left out, as its pipeline
    allows, zeros take its place, which the denoiser reads as tokens all the same.

    Raises:
        UnsupportedModel: The schedule is no straight line, or something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "Stable Diffusion 3"
    pipeline_class: ClassVar[str] = "StableDiffusion3Pipeline"
    drawing: tuple[int, float] = (28, 7.0)
    component_names: ClassVar[tuple[str, ...]] = (
        "transformer",
        "vae",
        "text_encoder",
        "text_encoder_2",
        "text_encoder_3",
    )
    text_encoder_names: ClassVar[Mapping[str, str]] = {
        "text": "text_encoder",
        "text-2": "text_encoder_2",
        "text-3": "text_encoder_3",
    }
    optional: ClassVar[frozenset[str]] = frozenset({"text_encoder_3", "tokenizer_3"})
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": ("num_attention_heads", "patch_size", "sample_size", "dual_attention_layers", "qk_norm"),
        "vae": ("scaling_factor", "shift_factor"),
        "text_encoder": _CLIP,
        "text_encoder_2": _CLIP,
        "text_encoder_3": ("num_heads", "feed_forward_proj"),
        "scheduler": ("num_train_timesteps",),
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "cross-attention": (
            "{title} has no cross-attention: picture and text attend to both in joint attention, and what reaches into "
            "cross-attention has nothing to reach into."
        ),
        "self-attention": "{title} has no attention of the picture to itself alone, but for some blocks of 3.5-medium.",
        **Transformer.lacks,
    }

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self.latent = latent_of(pipeline, mean=float(pipeline.vae.config.get("shift_factor") or 0))
        self.token_length = int(pipeline.tokenizer.model_max_length)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, ("shift_factor",))
        for component in self.encoder_names:
            kind = ("T5Encoder", "T5") if component == "text-3" else ("CLIPTextModelWithProjection", "CLIP")
            check_text_encoder(self.encoder(component), *kind)
        check_channels(self.denoiser, int(self.autoencoder.config.latent_channels))
        check_flow(self.pipeline.scheduler)

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer with two text encoders at least."""
        has_text = all(getattr(pipeline, name, None) is not None for name in ("text_encoder", "text_encoder_2"))
        return has_text and is_called(getattr(pipeline, "transformer", None), "SD3Transformer2DModel")

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts for each text encoder; T5 reads longer ones than CLIP does."""
        lengths = dict.fromkeys(self.encoder_names, self.token_length) | {"text-3": T5_TOKENS}
        return {name: tokenize(tokenizer, prompts, lengths[name]) for name, tokenizer in self.tokenizers.items()}

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return CLIP's states and T5's one after the other, and CLIP's pooled text."""
        clip = [self.states(each, ids, vectors, output_hidden_states=True) for each in ("text", "text-2")]
        hidden = torch.cat([each.hidden_states[-2] for each in clip], dim=-1)
        width = int(self.denoiser.config.joint_attention_dim)
        if "text-3" in self.encoder_names:
            t5 = self.states("text-3", ids, vectors)[0].to(hidden)
        else:
            t5 = hidden.new_zeros(len(hidden), T5_TOKENS, width)
        filled = torch.nn.functional.pad(hidden, (0, width - hidden.shape[-1]))
        return Conditioning(torch.cat([filled, t5], dim=1), torch.cat([each.text_embeds for each in clip], dim=-1))

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's output; see `Family.predict`."""
        assert cond.pooled is not None  # its own has it
        x = x.to(self.dtype)
        arguments = {
            "encoder_hidden_states": cond.hidden.to(x.dtype),
            "pooled_projections": cond.pooled.to(x.dtype),
            "timestep": t.expand(len(x)),
            "return_dict": False,
        }
        output: Tensor = self.called((x,), arguments, parameters)[0]
        return output

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_joint(self.denoiser)

    def attention(self, call: Call) -> Probabilities:
        """Yield the picture's probabilities of the text in joint attention, which sum to 1; see `Family.attention`."""
        pixels, text = (call.kwargs[name] for name in ("hidden_states", "encoder_hidden_states"))
        return probabilities(call.module, pixels[call.rows], text[call.rows])

    def with_text_of(self, call: Call, text: slice | None) -> Any:
        """Return what joint attention gives where pictures read another text; see `Family.with_text_of`."""
        words = call.kwargs["encoder_hidden_states"]
        streams = {
            "hidden_states": call.kwargs["hidden_states"][call.rows],
            "encoder_hidden_states": words[call.rows, :0] if text is None else words[text],
        }
        return call.with_tokens(call.module.forward(**{**call.kwargs, **streams})[0], slice(None))

    def readers(self) -> Mapping[str, Sites]:
        """Return the embedders of the tokens and of the pooled text."""
        return text_readers(self.sites())

    def readings(self) -> tuple[Reading, ...]:
        """Return CLIP's tokens, T5's after them, and the pooled vector."""
        texts = self.tokenizers
        clip = Reading("hidden", PromptReader({"text": texts["text"]}, self.token_length))
        t5 = {name: texts[name] for name in ("text-3",) if name in texts}
        after = (Reading("hidden", PromptReader(t5, T5_TOKENS), self.token_length),) if t5 else ()
        return (clip, *after, Reading("pooled", None))
