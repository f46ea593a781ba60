"""The protocols of models, guidances and their runs, for samplers and hooks; `Model` is a TextToImage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from turpentine.models.conditioning import Conditioning
from turpentine.models.families.schedule import Schedule
from turpentine.models.text import PromptReader
from turpentine.models.windows import Moment

Latents = Float[Tensor, "batch channel height width"]
Size = int | tuple[int, int]


@runtime_checkable
class TextToImage(Protocol):
    """A text-to-image diffusion model of any family."""

    moment: Moment | None
    guidance: Guidance | None

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """The networks by the names with which the names of their parts begin."""
        ...

    @property
    def embeds_guidance(self) -> bool:
        """Whether the denoiser computes guidance itself, from `Conditioning.guidance`."""
        ...

    @property
    def schedule(self) -> Schedule:
        """The forward process, and its solvers."""
        ...

    def guide(self, uncond: Latents, cond: Latents, guidance_scale: float) -> Latents:
        """Return ε_∅ + w·(ε_c − ε_∅), as the family's pipeline takes it."""
        ...

    @property
    def text(self) -> PromptReader:
        """The reader of prompts."""
        ...

    def latent_shape(self, *, size: Size | None = None) -> tuple[int, int, int]:
        """Return channels, height and width of a picture's latent."""
        ...

    def encode(self, prompts: Sequence[str], *, size: Size | None = None, negative: bool = False) -> Conditioning:
        """Return the conditioning of prompts, a row each, or of prompts to lead away from."""
        ...

    def eps(
        self,
        x: Latents,
        t: int | Shaped[Tensor, "*rows"],
        cond: Conditioning,
        *,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """Return the predicted noise ε(x_t, c)."""
        ...

    def followed(
        self,
        x: Latents,
        t: int | Shaped[Tensor, "*rows"],
        cond: Conditioning,
        *,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """Return the prediction that solvers take: ε(x_t, c), or the velocity of a flow model."""
        ...


Extra = Float[Tensor, "extra channel height width"]


@runtime_checkable
class Combination(Protocol):
    """How the predictions of one run of one batch become the ε that the solver takes; may keep a state.

    Attributes:
        extra: Further rows to predict in the same call of the denoiser, or None: one for each picture, or several times
            so many, then all pictures' first ones before their second ones.
        needs_uncond: Is ε(x,∅) used? What is not used is not computed.
    """

    extra: Conditioning | None
    needs_uncond: bool

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Extra | None) -> Latents:
        """Return ε for the solver.

        Args:
            index: The step, from 0.
            uncond: ε(x,∅), None where it was not needed.
            cond: ε(x,c).
            extra: The predictions of the extra rows, None without any.
        """
        ...


@runtime_checkable
class Guidance(Protocol):
    """A change that lives at inference, put on a model like an edit.

    One value serves many runs: what a run remembers is in its `Combination`.
    """

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        """Begin a run.

        Args:
            model: What is sampled, to encode texts with.
            rows: Pictures in the batch.
            guidance_scale: w in ε_∅ + w·(ε_c − ε_∅).
            steps: Of the solver.
        """
        ...
