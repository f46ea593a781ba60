"""What families have in common whose denoiser is a transformer of diffusers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnsupportedModel
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.base import Family, LatentSpec, TokenIds, TokenVectors
from turpentine.models.families.text_sites import text_sites
from turpentine.models.families.token_vectors import reading
from turpentine.models.families.walk import Part, sites_on
from turpentine.models.sites import Sites

UNLIKE = "{title} has no way down and up as a UNet: its blocks are called BLOCK1, BLOCK2 and so on."


JOINT_ALONE: Mapping[str, str] = {
    "cross-attention": (
        "{title} has no cross-attention: picture and text attend to both in joint attention, and what reaches into "
        "cross-attention has nothing to reach into."
    ),
    "self-attention": "{title} has no attention of the picture to itself alone.",
}
"""What those lack in whose blocks picture and text attend to both."""


class Transformer(Family):
    """A denoiser that takes latents as a row of tokens."""

    denoiser_name: ClassVar[str] = "transformer"
    lacks: ClassVar[Mapping[str, str]] = {
        "resnet": "{title} has no resnets: its denoiser is a transformer.",
        "sampler": "{title} halves and doubles no picture: all its blocks are of one resolution.",
        "UP*": UNLIKE,
        "DOWN*": UNLIKE,
        "MID*": UNLIKE,
    }
    """Patterns of kinds, labels and names that UNets have and this family has not, with a sentence about each."""

    @classmethod
    def level_widths(cls, config: Mapping[str, Any]) -> Sequence[int]:
        """Return the width of all blocks."""
        return [int(config["num_attention_heads"]) * int(config["attention_head_dim"])]

    @property
    def tokenizers(self) -> Mapping[str, Any]:
        """The tokenizer of each text encoder: `tokenizer_2` is that of `text_encoder_2`."""
        return {
            component: getattr(self.pipeline, encoder.replace("text_encoder", "tokenizer"), None)
            for component, encoder in self.encoder_names.items()
        }

    def sites(self) -> Sites:
        """Return all sites, text encoders first, then the transformer."""
        encoders = text_sites({component: self.encoder(component) for component in self.encoder_names})
        return Sites.all_of(
            [*encoders, *sites_on(self.walk())], absent={key: self._sentence(key) for key in self.lacks}
        )

    @abstractmethod
    def walk(self) -> Iterator[Part]:
        """Yield the parts of the transformer in order of execution."""

    def states(self, component: str, ids: TokenIds, vectors: TokenVectors | None, **more: Any) -> Any:
        """Return what a text encoder gives for ids, or for vectors in their place."""
        encoder = self.encoder(component)
        with reading(encoder, vectors[component] if vectors else None):
            return encoder(ids[component].to(encoder.device), **more)

    def with_text(self, call: Call, cond: Conditioning) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Refuse: its blocks read a stream of text that the blocks before have changed.

        Raises:
            UnsupportedModel: Always.
        """
        self.refuse("cross-attention")

    def embed_time(self, t: Shaped[Tensor, " step"]) -> Float[Tensor, "step feature"]:
        """Refuse: no resnet reads the time.

        Raises:
            UnsupportedModel: Always.
        """
        self.refuse("resnet")

    def example_block(self) -> str:
        """Return the label of the block in the middle."""
        return f"BLOCK{(len(self.denoiser.transformer_blocks) + 1) // 2}"

    def original_names(self) -> Mapping[str, str]:
        """Refuse: files in the authors' own layout are not written for this family.

        Raises:
            UnsupportedModel: Always.
        """
        raise UnsupportedModel(
            f"{self.title} has no names in the original layout here: save it as a folder or as changed weights."
        )

    def refuse(self, kind: str) -> NoReturn:
        """Say that the family has no sites of a kind.

        Raises:
            UnsupportedModel: Always.
        """
        raise UnsupportedModel(self._sentence(kind))

    def _sentence(self, key: str) -> str:
        return self.lacks[key].format(title=self.title)


def latent_of(pipeline: Any, mean: float = 0.0) -> LatentSpec:
    """Return the shape and scale of latents by the configs of a pipeline's autoencoder and transformer.

    Args:
        pipeline: With both.
        mean: Of the autoencoder's latents, in all channels.
    """
    config, network = pipeline.vae.config, pipeline.transformer.config
    levels = config.get("block_out_channels") or config.encoder_block_out_channels
    channels, factor = int(config.latent_channels), 2 ** (len(levels) - 1)
    size = int(network.sample_size) * factor
    places = network.get("pos_embed_max_size")
    largest = int(places) * int(network.patch_size) * factor if places else None
    means = (mean,) * channels if mean else ()
    return LatentSpec(channels, size, size, factor, config.scaling_factor, means, (), int(network.patch_size), largest)


def check_channels(transformer: Any, channels: int, learned_variance: bool = False) -> None:
    """Check that a transformer takes latents, and gives latents.

    Args:
        transformer: The denoiser.
        channels: Of a latent.
        learned_variance: May it predict a variance beside each number?

    Raises:
        UnsupportedModel: It takes or gives something else.
    """
    taken, given = transformer.config.in_channels, transformer.config.out_channels or transformer.config.in_channels
    if taken != channels or given not in ((channels, 2 * channels) if learned_variance else (channels,)):
        raise UnsupportedModel(
            f"The transformer takes {taken} channels and gives {given}, and a latent has {channels}: inpainting and "
            "image-editing models are not text-to-image models."
        )
