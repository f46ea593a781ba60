"""Z-Image: one stream of picture and text, rectified flow run backwards, and the states of Qwen3 in a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnsupportedModel
from turpentine.models.attention import ByHead, Place, probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_autoencoder, check_text_encoder
from turpentine.models.families.base import Latents, Probabilities, TokenIds, TokenVectors, is_called
from turpentine.models.families.flow_solvers import check_flow
from turpentine.models.families.flux import latent_by_autoencoder
from turpentine.models.families.straight_line import StraightLine
from turpentine.models.families.tokenizers import chat_frame
from turpentine.models.families.transformer import JOINT_ALONE, Transformer
from turpentine.models.families.transformer_sites import walk_z
from turpentine.models.families.walk import Part
from turpentine.models.sites import Site, Sites

_PATCH = 2
"""Latent pixels to a side of a token."""

_UNIT = 32
"""Picture and text are each filled up with tokens of their own to a multiple of this."""

_MASKED = -10000.0
"""Added to the agreement with what only fills up a batch: e to it is 0."""


class ZImage(StraightLine, Transformer):
    """Z-Image (Z-Image team 2025, arXiv 2511.22699).

    Qwen3 reads a prompt as a user's message in a chat; the transformer reads the last states but one of all its tokens,
    the chat's own among them. It predicts the velocity from noise to picture at the time 1 − σ, and its pipeline turns
    the sign. That pipeline's guidance scale g is in ε_c + g·(ε_c − ε_∅): w is g + 1 here, and Turbo's 0 is 1.

    Raises:
        UnsupportedModel: Something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "Z-Image"
    pipeline_class: ClassVar[str] = "ZImagePipeline"
    drawing: tuple[int, float] = (50, 6.0)  # g + 1 for its g of 5
    even_steps: ClassVar[bool] = True
    component_names: ClassVar[tuple[str, ...]] = ("transformer", "vae", "text_encoder")
    text_encoder_names: ClassVar[Mapping[str, str]] = {"text": "text_encoder"}
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transformer": ("n_heads", "axes_dims", "rope_theta", "t_scale"),
        "vae": ("scaling_factor", "shift_factor", "sample_size"),
        "text_encoder": ("num_attention_heads", "num_key_value_heads"),
        "scheduler": ("num_train_timesteps",),
    }
    lacks: ClassVar[Mapping[str, str]] = {
        "cross-attention": JOINT_ALONE["cross-attention"],
        "*.net.2": "{title}'s feed-forward networks are gated, and what prunes a second layer of two has none.",
        **Transformer.lacks,
    }
    token_length: int = 512

    def __init__(self, pipeline: Any) -> None:
        tokenizer = getattr(pipeline, "tokenizer", None)
        self.frame = chat_frame(tokenizer, add_generation_prompt=True, enable_thinking=True)
        self._tokens = 0
        super().__init__(pipeline)
        self.latent = latent_by_autoencoder(pipeline.vae.config)

    def check(self, *, hooks: bool = True) -> None:
        """Check the networks' classes, what the transformer reads, and the schedule; see `Family.check`."""
        super().check(hooks=hooks)
        check_autoencoder(self.autoencoder, ("shift_factor",))
        check_text_encoder(self.encoder("text"), "Qwen3Model", "Qwen3")
        config = self.denoiser.config
        if config.siglip_feat_dim is not None:
            raise UnsupportedModel("The transformer reads pictures beside the text: give Z-Image, not Omni.")
        channels = int(self.autoencoder.config.latent_channels)
        if config.in_channels != channels or tuple(config.all_patch_size) != (_PATCH,):
            raise UnsupportedModel(
                f"The transformer takes {config.in_channels} channels in patches of {list(config.all_patch_size)}, and "
                f"a latent has {channels}, in patches of {_PATCH}: it is another model's."
            )
        check_flow(self.pipeline.scheduler)

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is that transformer with a text encoder."""
        has_text = getattr(pipeline, "text_encoder", None) is not None
        return has_text and is_called(getattr(pipeline, "transformer", None), "ZImageTransformer2DModel")

    @classmethod
    def level_widths(cls, config: Mapping[str, Any]) -> Sequence[int]:
        """Return the width of all blocks."""
        return [int(config["dim"])]

    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return the last states but one, 0 for padding, and which tokens are none."""
        encoder = self.encoder("text")
        mask = (ids["text"] != self.pipeline.tokenizer.pad_token_id).to(encoder.device)
        states = self.states("text", ids, vectors, attention_mask=mask, output_hidden_states=True).hidden_states[-2]
        return Conditioning(states * mask[..., None], mask=mask.long())

    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the transformer's output, its sign turned; see `Family.predict`."""
        assert cond.mask is not None  # its own has it
        steps = self.schedule.training_steps
        self._tokens = x.shape[-2] // _PATCH * (x.shape[-1] // _PATCH)
        arguments = {
            "x": list(x.to(self.dtype)[:, :, None].unbind(0)),
            "t": (steps - t.expand(len(x))) / steps,
            "cap_feats": [row[mask] for row, mask in zip(cond.hidden.to(self.dtype), cond.mask.bool(), strict=True)],
            "return_dict": False,
        }
        return -torch.stack(self.called((), arguments, parameters)[0])[:, :, 0]

    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""
        return walk_z(self.denoiser, self.latent.height // (self.latent.factor * _PATCH))

    def example_block(self) -> str:
        """Return the label of the block in the middle."""
        return f"BLOCK{(len(self.denoiser.layers) + 1) // 2}"

    def attention(self, call: Call) -> Probabilities:
        """Yield the picture's probabilities of the text in its one stream, which sum to 1; see `Family.attention`."""
        rows, first = call.args[0][call.rows], self._first
        mask = call.kwargs["attention_mask"]
        bias = None if mask is None else (~mask[call.rows, None, first:]).to(rows) * _MASKED
        return probabilities(call.module, rows[:, : self._tokens], rows[:, first:], bias, place=self.places(call))

    def places(self, call: Call) -> tuple[Place, Place]:
        """Return what turns the picture's tokens, and the text's, by their places; see `Family.places`."""
        freqs = call.kwargs["freqs_cis"][call.rows]
        return _turn(freqs[:, : self._tokens]), _turn(freqs[:, self._first :])

    def with_text_of(self, call: Call, text: slice | None) -> Any:
        """Return what joint attention gives where pictures read another text; see `Family.with_text_of`.

        What fills the picture up is taken as the picture, and its places are those that it has beside that text.
        """
        rows, first = call.args[0], self._first
        picture, beside = rows[call.rows, :first], text or call.rows
        whole = torch.cat([picture, rows[text, first:]], dim=1) if text else picture
        named = {
            name: tensor if tensor is None else tensor[beside, : whole.shape[1]] for name, tensor in call.kwargs.items()
        }
        return call.with_tokens(call.module.forward(whole, **named)[:, :first], slice(0, first))

    def streams_at(self, site: Site) -> tuple[slice, slice]:
        """Return where picture and text are, which are one row; see `Family.streams_at`."""
        return slice(0, self._tokens), slice(self._first, None)

    @property
    def _first(self) -> int:
        """Where the text begins, behind the picture and what fills it up."""
        return -(-self._tokens // _UNIT) * _UNIT

    def readers(self) -> Mapping[str, Sites]:
        """Return the embedder of the tokens."""
        return {"hidden": self.sites().only(kind="context", level="layer", name="*.cap_embedder.1")}

    def as_read(self, cond: Conditioning, what: str) -> Float[Tensor, "batch token width"]:
        """Return the text's states after a norm, as the embedder gets them."""
        normed: Tensor = self.denoiser.cap_embedder[0](cond.hidden.to(self.dtype))
        return normed


def _turn(freqs: Shaped[Tensor, "row token pair"]) -> Place:
    """Return what turns each pair of numbers by its token's angle."""

    def turned(x: ByHead) -> ByHead:
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * freqs[:, None]).flatten(-2)

    return turned
