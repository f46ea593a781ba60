"""SANA: a transformer that reads Gemma's states by cross-attention, rectified flow, and latents of 32 pixels a side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from inspect import signature
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from turpentine.core.errors import UnsupportedModel
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder, check_text_encoder
from turpentine.models.families.base import Latents, Pixels, TokenIds, TokenVectors, is_called
from turpentine.models.families.cross_transformer import CrossTransformer
from turpentine.models.families.flow_solvers import check_flow
from turpentine.models.families.straight_line import StraightLine
from turpentine.models.families.tokenizers import check_apart
from turpentine.models.families.transformer import check_channels, latent_of
from turpentine.models.families.transformer_sites import walk_sana
from turpentine.models.families.walk import Part
from turpentine.models.frame import NO_FRAME, Frame
from turpentine.models.text import tokenize


class SANA(StraightLine, CrossTransformer):
    """SANA (Xie et al. 2024, arXiv 2410.10629).

    Gemma reads a prompt behind an instruction to enhance it, which diffusers' pipeline has as its default; the
    transformer reads the states of the start token and of the prompt's own. The empty prompt, and those to lead away
    from, Gemma reads alone.

    Raises:
        UnsupportedModel: Something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "SANA"
    pipeline_class: ClassVar[str] = "SanaPipeline"
    drawing: tuple[int, float] = (20, 4.5)
    component_names: ClassVar[tuple[str, ...]] = ("transformer", "vae", "text_encoder")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": (
            "num_attention_heads",
            "num_cross_attention_heads",
            "patch_size",
            "sample_size",
            "interpolation_scale",
            "timestep_scale",
        ),
        "vae": ("scaling_factor",),
        "text_encoder": ("num_attention_heads", "num_key_value_heads", "query_pre_attn_scalar", "sliding_window"),
        "scheduler": ("num_train_timesteps",),
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "*.net.2": "{title}'s feed-forward networks are convolutions, and what prunes a linear one has none to prune.",
        **CrossTransformer.lacks,
    }
    token_length: int = 300
    frame: Frame = Frame(before=" ")  # the instruction ends with it

    def __init__(self, pipeline: Any) -> None:
        if getattr(pipeline, "tokenizer", None) is not None:
            pipeline.tokenizer.padding_side = "right"  # as its pipeline sets it for each prompt
        super().__init__(pipeline)
        self.latent = latent_of(pipeline)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, (), "AutoencoderDC")
        check_text_encoder(self.encoder("text"), "Gemma2Model", "Gemma 2")
        check_channels(self.denoiser, int(self.autoencoder.config.latent_channels), learned_variance=True)
        check_flow(self.pipeline.scheduler)
        if self.denoiser.config.guidance_embeds:
            raise UnsupportedModel(
                f"The transformer reads the guidance scale, distilled into its weights: give the {self.title} that it "
                "was made from."
            )

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer with a text encoder."""
        has_text = getattr(pipeline, "text_encoder", None) is not None
        return has_text and is_called(getattr(pipeline, "transformer", None), "SanaTransformer2DModel")

    @cached_property
    def _before(self) -> list[int]:
        """The tokens of the instruction, from the start token to the last that no prompt changes."""
        ids: list[int] = self.pipeline.tokenizer(instruction()).input_ids
        return ids[:-1]

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts in lower case.

        Raises:
            BadArgument: A prompt's first token is another one behind the instruction.
        """
        tokenizer = self.pipeline.tokenizer
        for prompt in prompts:
            text = prompt.lower().strip()
            own = tokenizer(self.frame.put_around(text), verbose=False).input_ids[1:]
            if text:
                check_apart(tokenizer, instruction(), self._before, text, own)
        return super().tokenize(prompts)

    def encode_negative(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """Return the conditioning of prompts that are read without the instruction."""
        texts = [prompt.lower().strip() for prompt in prompts]
        return self._read(tokenize(self.pipeline.tokenizer, texts, self.token_length, NO_FRAME))

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return Gemma's states, and which tokens are the prompt's, behind the instruction where there are any."""
        rows, own = ids["text"], vectors["text"] if vectors else None
        spoken = (rows[:, 1] != self.pipeline.tokenizer.pad_token_id).cpu()
        parts = []
        for is_spoken in (False, True):
            if bool((spoken == is_spoken).any()):
                some = spoken == is_spoken
                part = None if own is None else own[some.to(own.device)]
                parts.append(self._read(rows[some.to(rows.device)], part, is_spoken))
        return Conditioning.cat(parts)[spoken.int().argsort(stable=True).argsort()]

    def _read(
        self,
        ids: Int[Tensor, "batch token"],
        vectors: Float[Tensor, "batch token width"] | None = None,
        instructed: bool = False,
    ) -> Conditioning:
        """Return the states of rows of the model's length, with the instruction behind the start token or without."""
        device = self.encoder("text").device
        ids = ids.to(device)
        if instructed:
            before = torch.tensor(self._before[1:], device=device).expand(len(ids), -1)
            if vectors is not None:
                table = torch.nn.functional.embedding(before, self.token_tables()["text"])
                vectors = torch.cat([vectors[:, :1], table.to(vectors), vectors[:, 1:]], dim=1)
            ids = torch.cat([ids[:, :1], before, ids[:, 1:]], dim=1)
        mask = (ids != self.pipeline.tokenizer.pad_token_id).long()
        given = None if vectors is None else {"text": vectors}
        hidden = self.states("text", {"text": ids}, given, attention_mask=mask)[0]
        places = [0, *range(1 - self.token_length, 0)]
        return Conditioning(hidden[:, places], mask=mask[:, places])

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's output; see `Family.predict`."""
        x = x.to(self.dtype)
        arguments = {
            "encoder_hidden_states": cond.hidden.to(x.dtype),
            "encoder_attention_mask": cond.mask,
            "timestep": t.expand(len(x)) * self.denoiser.config.timestep_scale,
            "return_dict": False,
        }
        output: Tensor = self.called((x,), arguments, parameters)[0][:, : x.shape[1]]
        return output

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_sana(self.denoiser)

    def as_read(self, cond: Conditioning, what: str) -> Float[Tensor, "batch token width"]:
        """Return the text's states as the transformer projects them for all its blocks."""
        network = self.denoiser
        projected: Tensor = network.caption_norm(network.caption_projection(cond.hidden.to(self.dtype)))
        return projected

    def to_autoencoder(self, pixels: Pixels) -> Latents:
        """Return the autoencoder's latents, of which it gives no distribution."""
        z: Tensor = self.autoencoder.encode(pixels, return_dict=False)[0]
        return z

    def full_precision(self) -> Iterable[str]:
        """Return the text encoder and the autoencoder, which were trained in bf16 and fp32."""
        return ("text_encoder", "vae")


@cache
def instruction() -> str:
    """Return what Gemma reads before a prompt, by the default of diffusers' pipeline."""
    from diffusers import SanaPipeline

    return "\n".join(signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default)
