"""What a family of models has to say about itself, so that nothing above `models/` asks which one it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from turpentine.core.errors import BadArgument, UnknownName, UnsupportedModel
from turpentine.models.attention import Place
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.alterations import check_class, check_unaltered
from turpentine.models.families.schedule import Parametrisation, Schedule
from turpentine.models.families.tokenizers import check_tokenizer
from turpentine.models.frame import NO_FRAME, Frame
from turpentine.models.reading import Reading
from turpentine.models.sites import Site, Sites
from turpentine.models.text import PromptReader, tokenize

Latents = Float[Tensor, "batch channel height width"]
Pixels = Float[Tensor, "batch 3 rows columns"]
TokenIds = Mapping[str, Int[Tensor, "batch _"]]
"""Ids of padded prompts by text encoder, as the component of its sites: "text", "text-2"."""
TokenVectors = Mapping[str, Float[Tensor, "batch _ _"]]
"""What a text encoder reads in the place of ids, before places are added to it."""
Probabilities = Iterator[tuple[slice, Float[Tensor, "row head pixel token"]]]


@dataclass(frozen=True)
class LatentSpec:
    """The shape and scale of latents.

    Args:
        channels: Of a latent.
        height: Of the native picture, in pixels.
        width: Of the native picture, in pixels.
        factor: Pixels to a latent's pixel, in each direction.
        scale: The denoiser's latents are scale·(z − mean)/std of the autoencoder's z.
        mean: By channel, or none for 0.
        std: By channel, or none for 1.
        patch: Latent pixels to a side of what the denoiser takes as one token.
        largest: The most pixels to a side that the denoiser has places for; None for no end.
    """

    channels: int
    height: int
    width: int
    factor: int
    scale: float
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    patch: int = 1
    largest: int | None = None

    def check_size(self, height: int, width: int) -> None:
        """Check that pictures can have a size.

        Raises:
            BadArgument: It is not a whole number of latents, or of the denoiser's tokens, or there are too many.
        """
        unit = self.factor * self.patch
        if height < unit or width < unit or height % unit or width % unit:
            raise BadArgument(f"{height} x {width} is not a whole number of latents: give multiples of {unit} pixels.")
        if self.largest is not None and max(height, width) > self.largest:
            raise BadArgument(
                f"{height} x {width} is more than this denoiser has places for: give {self.largest} pixels at most."
            )


class Family(ABC):
    """What is true of one architecture, read from a pipeline of it.

    Args:
        pipeline: A diffusers pipeline, whose modules are used in place.

    Raises:
        ModelNotFound: A tokenizer is missing, empty or another model's.
        UnsupportedModel: Something on the pipeline changes what it computes; see `check`.

    Attributes:
        title: The family's name, for people.
        pipeline_class: diffusers' class that reads it from files.
        load_options: What that class is given beside the path.
        component_names: The pipeline's networks, in the order in which they are described.
        denoiser_name: Which of them is the denoiser; names of its parameters begin so.
        text_encoder_names: Which of them read the prompt, by the component of their sites: "text", "text-2", ...
        optional: Parts that a pipeline of the family may be without.
        padding_sides: On which its tokenizers may pad.
        identity_keys: Keys of each part's config that change what the model computes and show in no weight's shape. A
            library adds keys to its configs, so that whole ones would not stay the same.
        frame: What is read around a prompt.
        drawing: Steps and w of a picture where nobody says: the defaults of diffusers' pipeline.
    """

    title: ClassVar[str]
    pipeline_class: ClassVar[str]
    load_options: ClassVar[Mapping[str, Any]] = {}
    component_names: ClassVar[tuple[str, ...]]
    denoiser_name: ClassVar[str]
    text_encoder_names: ClassVar[Mapping[str, str]]
    optional: ClassVar[frozenset[str]] = frozenset()
    padding_sides: ClassVar[tuple[str, ...]] = ("right",)
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]]

    pipeline: Any
    latent: LatentSpec
    token_length: int
    frame: Frame = NO_FRAME
    drawing: tuple[int, float] = (50, 7.5)

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        for component, tokenizer in self.tokenizers.items():
            name = self.encoder_names[component]
            encoder = getattr(pipeline, name, None)
            check_tokenizer(tokenizer, encoder, f"tokenizer of {name}", self.padding_sides)
        self.check()

    def check(self, *, hooks: bool = True) -> None:
        """Check that nothing on the pipeline changes what it computes and would be passed over; see docs/pipelines.md.

        Args:
            hooks: Are hooks on its networks refused, too?

        Raises:
            UnsupportedModel: Something does; the message says what, where, and how to take it off.
        """
        check_class(self.pipeline, self.pipeline_class)
        check_unaltered(self.components, hooks=hooks)

    @classmethod
    @abstractmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether a pipeline is of this family, without importing anything."""

    @classmethod
    def parts(cls, folder: Path) -> Mapping[str, Any]:
        """Return parts of a model's folder that diffusers' class does not read, but is given afterwards."""
        return {}

    @classmethod
    @abstractmethod
    def level_widths(cls, config: Mapping[str, Any]) -> Sequence[int]:
        """Return the channels of a denoiser's levels by its config, which says how large a model is."""

    @property
    def embeds_guidance(self) -> bool:
        """Whether the denoiser computes guidance itself, from a w that it reads (Meng et al. 2023, arXiv 2210.03142).

        Then `guidance_scale` is that w, ε_∅ is not computed, and `Conditioning.guidance` carries it.
        """
        return False

    @property
    def components(self) -> dict[str, nn.Module]:
        """The networks by name."""
        parts = {name: getattr(self.pipeline, name, None) for name in self.component_names}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def encoder_names(self) -> dict[str, str]:
        """The text encoders of this pipeline, by the component of their sites: all but optional ones that it lacks."""
        names = self.text_encoder_names.items()
        return {each: name for each, name in names if name not in self.optional or name in self.components}

    @property
    def denoiser(self) -> Any:
        """The network that predicts."""
        return getattr(self.pipeline, self.denoiser_name)

    @property
    def autoencoder(self) -> Any:
        """The network between pictures and latents."""
        return self.pipeline.vae

    @property
    def dtype(self) -> torch.dtype:
        """The denoiser's number format; diffusers' own property walks all modules, at each call."""
        dtype: torch.dtype = next(self.denoiser.parameters()).dtype
        return dtype

    @property
    @abstractmethod
    def tokenizers(self) -> Mapping[str, Any]:
        """The tokenizer of each text encoder, by the component of the encoder's sites; the first reads concepts."""

    @property
    @abstractmethod
    def prediction(self) -> str:
        """What the network predicts, by diffusers' name of it."""

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """The forward process that the network was trained on."""

    @property
    @abstractmethod
    def parametrisation(self) -> Parametrisation:
        """Whether the network's output is noise, velocity or flow."""

    def encode(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """Return the conditioning of prompts, a row each, for pictures of a height and width in pixels."""
        return self.encode_tokens(self.tokenize(prompts), size)

    def encode_negative(self, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """Return the same of prompts to lead away from, which some pipelines read otherwise."""
        return self.encode(prompts, size)

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts for each text encoder, padded and cut, with a warning for each that is cut."""
        length, frame = self.token_length, self.frame
        return {name: tokenize(tokenizer, prompts, length, frame) for name, tokenizer in self.tokenizers.items()}

    @abstractmethod
    def encode_tokens(self, ids: TokenIds, size: tuple[int, int], vectors: TokenVectors | None = None) -> Conditioning:
        """Return the conditioning of token ids, a row each; gradients go through it to `vectors`.

        Args:
            ids: Of padded prompts; they say where a prompt ends also where vectors stand in for their own.
            size: Height and width in pixels.
            vectors: What the encoders read in the place of the ids' own vectors; those of `embed_tokens` change no bit.
        """

    def embed_tokens(self, ids: TokenIds) -> TokenVectors:
        """Return the rows of the encoders' tables for ids."""
        tables = self.token_tables()
        return {name: nn.functional.embedding(ids[name].to(table.device), table) for name, table in tables.items()}

    def token_tables(self) -> Mapping[str, Float[Tensor, "_ _"]]:
        """Return the table of each text encoder's vectors, a row for each token."""
        return {name: self.encoder(name).get_input_embeddings().weight for name in self.encoder_names}

    def token_table_names(self) -> Mapping[str, str]:
        """Return the dotted name of each text encoder's table, by which edits call it."""
        names = {}
        for component, part in self.encoder_names.items():
            table = self.encoder(component).get_input_embeddings().weight
            own = next(name for name, weight in self.encoder(component).named_parameters() if weight is table)
            names[component] = f"{part}.{own}"
        return names

    @property
    def reads_prompts(self) -> bool:
        """Whether all encoders that read the prompt are loaded."""
        return all(self.encoder(name) is not None for name in self.encoder_names)

    def encoder(self, component: str) -> Any:
        """Return a text encoder by the component of its sites."""
        return getattr(self.pipeline, self.encoder_names[component])

    @abstractmethod
    def predict(
        self, x: Latents, t: Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor]
    ) -> Latents:
        """Return the network's own output, in its own number format.

        Args:
            x: x_t as the network takes it.
            t: Timesteps, one for all rows or one for each.
            cond: A row for each of `x`.
            parameters: Tensors that stand in for the denoiser's weights of those dotted names in this call.

        Raises:
            UnknownName: A name that is not the denoiser's.
        """

    def called(
        self, args: tuple[Tensor, ...], named: Mapping[str, Any], parameters: Mapping[str, Tensor]
    ) -> tuple[Any, ...]:
        """Return what the denoiser gives for arguments; `parameters` as in `predict`.

        Raises:
            UnknownName: A name that is not the denoiser's.
        """
        if not parameters:
            given: tuple[Any, ...] = self.denoiser(*args, **named)
            return given
        stand_ins = {self._inside(name): tensor for name, tensor in parameters.items()}
        return tuple(functional_call(self.denoiser, stand_ins, args, dict(named)))

    def _inside(self, name: str) -> str:
        if not self.inside_denoiser(name):
            raise UnknownName(
                f"{name!r} is no parameter of the denoiser: its names begin with '{self.denoiser_name}.'."
            )
        return name.removeprefix(f"{self.denoiser_name}.")

    def guide(self, uncond: Latents, cond: Latents, guidance_scale: float) -> Latents:
        """Return guided predictions, ε_∅ + w·(ε_c − ε_∅); some pipelines scale them."""
        return uncond + guidance_scale * (cond - uncond)

    @abstractmethod
    def sites(self) -> Sites:
        """Return all named parts, in order of execution."""

    @abstractmethod
    def readers(self) -> Mapping[str, Sites]:
        """Return the layers that read the text first, by what they read: "hidden", its tokens, or "pooled", its vector.

        An edit of them is an edit of what the whole denoiser knows of the text. What they read is `as_read`.
        """

    def readings(self) -> tuple[Reading, ...]:
        """Return the parts of the text that `readers` read."""
        return (Reading("hidden", PromptReader(self.tokenizers, self.token_length, self.frame)),)

    def as_read(self, cond: Conditioning, what: str) -> Float[Tensor, "batch *token width"]:
        """Return the text as the `readers` of a kind get it, tokens or one vector each."""
        given: Tensor | None = getattr(cond, what)
        assert given is not None  # the readers say so
        return given

    @abstractmethod
    def attention(self, call: Call) -> Probabilities:
        """Yield the probabilities of a cross-attention module after its call, heads by heads, in fp32.

        Those of the call's own rows alone. Each pair is the heads and softmax(q·kᵀ/√d) of them, which sums to 1 over
        the tokens, padding among them.
        """

    def places(self, call: Call) -> tuple[Place, Place] | None:
        """Return what turns the picture's and the text's tokens by their places in a call of joint attention, if so."""
        return None

    def streams_at(self, site: Site) -> tuple[slice, slice]:
        """Return where the picture's tokens are in an attention or a layer in it, and the text's; all if apart."""
        return slice(None), slice(None)

    def with_text_of(self, call: Call, text: slice | None) -> Any:
        """Return what joint attention gives where the call's own pictures read the text of other rows, or of none.

        Raises:
            UnsupportedModel: The family has none.
        """
        raise UnsupportedModel(f"{self.title} has no joint attention: picture and text are apart.")

    @abstractmethod
    def with_text(self, call: Call, cond: Conditioning) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return a cross-attention module's arguments with another text on the call's own rows."""

    @abstractmethod
    def embed_time(self, t: Shaped[Tensor, " step"]) -> Float[Tensor, "step feature"]:
        """Return what the denoiser's layers read of timesteps, which may lie between whole ones, in fp32."""

    @abstractmethod
    def example_block(self) -> str:
        """Return the label of a block to look into where none is chosen: one that draws objects' parts."""

    @abstractmethod
    def original_names(self) -> Mapping[str, str]:
        """Return the denoiser's modules, by path, under their names in the authors' own files."""

    def pixels(self, latents: Latents) -> Pixels:
        """Return the decoded pictures of latents, −1 to 1."""
        spec, z = self.latent, latents.to(self.autoencoder.dtype)
        z = z * _by_channel(spec.std, z) / spec.scale if spec.std else z / spec.scale
        z = z + _by_channel(spec.mean, z) if spec.mean else z
        return self.from_autoencoder(z)

    def latents(self, pixels: Pixels) -> Latents:
        """Return the latents of pictures of −1 to 1: the posterior's mode, so that no chance is in it."""
        z, spec = self.to_autoencoder(pixels.to(self.autoencoder.dtype)), self.latent
        z = (z - _by_channel(spec.mean, z) if spec.mean else z) * spec.scale
        return z / _by_channel(spec.std, z) if spec.std else z

    def from_autoencoder(self, z: Latents) -> Pixels:
        """Return what the autoencoder makes of its own latents."""
        decoded: Tensor = self.autoencoder.decode(z, return_dict=False)[0]
        return decoded

    def to_autoencoder(self, pixels: Pixels) -> Latents:
        """Return the autoencoder's own latents of pictures."""
        z: Tensor = self.autoencoder.encode(pixels).latent_dist.mode()
        return z

    def full_precision(self) -> Iterable[str]:
        """Return the components that overflow in fp16."""
        return ()

    def inside_denoiser(self, parameter: str) -> bool:
        """Return whether a parameter of this dotted name is the denoiser's."""
        return parameter.startswith(f"{self.denoiser_name}.")


def is_called(network: Any, name: str) -> bool:
    """Return whether a network is of the class of this name, or of a subclass, without importing any library."""
    return any(kind.__name__ == name for kind in type(network).__mro__)


def _by_channel(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
