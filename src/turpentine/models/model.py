"""A diffusers pipeline behind one small interface: encode, predict noise, sample, decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor, nn

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.progress import Progress
from turpentine.models import fingerprint, images, text
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.anatomy import find_sites
from turpentine.models.families.schedule import SMALLEST_ALPHA_BAR, alpha_bar_at, make_scheduler
from turpentine.models.families.unet import eps_from_v, predict, read_family
from turpentine.models.guidance import Guidance
from turpentine.models.sites import Sites
from turpentine.models.windows import Moment

COMPONENTS = ("unet", "vae", "text_encoder", "text_encoder_2")

Latents = Float[Tensor, "batch channel height width"]
Size = int | tuple[int, int]


class Model:
    """A text-to-image diffusion model: Stable Diffusion 1.x, 2.x or SDXL.

    name: where it came from. pipeline: the diffusers pipeline, whose modules are used in place, without gradients.
    moment: which step of a sampler is being computed, for hooks; None outside of one.
    edits, guidance: the edits that are on, and the guidance that a sampler follows if it is given no other, None
        without; both are kept by `turpentine.edits`.
    """

    def __init__(self, pipeline: Any, name: str = "") -> None:
        self.name = name or type(pipeline).__name__
        self.pipeline = pipeline
        self.moment: Moment | None = None
        self.edits: Any = None
        self.guidance: Guidance | None = None
        self._family = read_family(pipeline)
        for component in self.components.values():
            component.eval().requires_grad_(False)

    @property
    def components(self) -> dict[str, nn.Module]:
        """The networks by name: unet, vae, text_encoder, and for SDXL text_encoder_2."""
        found = {name: getattr(self.pipeline, name, None) for name in COMPONENTS}
        return {name: module for name, module in found.items() if module is not None}

    @property
    def unet(self) -> Any:
        """The denoiser."""
        return self.pipeline.unet

    @property
    def vae(self) -> Any:
        """The autoencoder."""
        return self.pipeline.vae

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return torch.device(self.unet.device)

    @property
    def dtype(self) -> torch.dtype:
        """The denoiser's number format."""
        dtype: torch.dtype = self.unet.dtype
        return dtype

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the native picture, in pixels."""
        return self._family.height, self._family.width

    @property
    def tokens(self) -> int:
        """Length of a padded prompt, start and end included."""
        return self._family.tokens

    @cached_property
    def sites(self) -> Sites:
        """All named parts, in order of execution."""
        return find_sites(self.pipeline)

    @cached_property
    def fingerprint(self) -> str:
        """Which model this is: SHA-256 over configs and weights, the same for fp16 and fp32.

        Computed when first asked for, and kept: ask before the weights are changed.
        """
        return fingerprint.fingerprint(self.pipeline)

    def describe(self) -> dict[str, str | int]:
        """Facts to show to a user."""
        family = self._family
        return {
            "name": self.name,
            "family": "SDXL" if family.is_xl else "Stable Diffusion",
            "prediction": family.prediction,
            "picture": f"{family.height} x {family.width}",
            "tokens": family.tokens,
            "parameters": sum(weight.numel() for part in self.components.values() for weight in part.parameters()),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def module(self, name: str) -> nn.Module:
        """A module by its dotted name, component first: `unet.mid_block`. Raises UnknownName."""
        component, _, path = name.partition(".")
        try:
            return self.components[component].get_submodule(path)
        except (KeyError, AttributeError):
            raise UnknownName(f"The model {self.name!r} has no module {name!r}.") from None

    def parameter(self, name: str) -> nn.Parameter:
        """A weight or bias by its dotted name, component first. Raises UnknownName."""
        component, _, path = name.partition(".")
        try:
            return self.components[component].get_parameter(path)
        except (KeyError, AttributeError):
            raise UnknownName(f"The model {self.name!r} has no parameter {name!r}.") from None

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], *, size: Size | None = None) -> Conditioning:
        """Prompts to conditioning, a row each. `""` is the empty prompt as the model was trained on it.

        size: the picture to draw, in pixels, which SDXL is told; the native size by default.
        """
        if isinstance(prompts, str):
            raise BadArgument("Give encode a list of prompts, not a single text.")
        if self._family.is_xl:
            return text.encode_prompts_xl(self.pipeline, prompts, self._family.tokens, self._pixels(size))
        return text.encode_prompts(self.pipeline, prompts, self._family.tokens)

    def unknown_words(self, words: str) -> list[str]:
        """The words that the tokenizer can only spell, in whole or in large part, letter by letter."""
        return text.unknown_words(self.pipeline.tokenizer, words)

    def check_spoken(self, words: str) -> None:
        """Raise EmptyConcept if the tokenizer has no token for a text, not even for its letters."""
        text.subject_ids(self.pipeline.tokenizer, words)

    def eps(
        self,
        x: Latents,
        t: int | Shaped[Tensor, "*rows"],
        cond: Conditioning,
        *,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """The predicted noise ε(x_t, c), whatever the network itself predicts, in the dtype of `x`.

        x: x_t = √ᾱ·x₀ + √(1−ᾱ)·ε, scaled so by all solvers. t: one timestep, or one for each row. cond: a row each.
        parameters: tensors that stand in for the denoiser's weights of those names (`unet....`) in this call only.
        """
        # Waiting for the copy would let the device run dry between two steps.
        at = torch.as_tensor(t).to(x.device, non_blocking=True)
        stand_ins = {_inside_unet(name): tensor for name, tensor in (parameters or {}).items()}
        prediction = predict(self.unet, x, at, cond, stand_ins).to(x.dtype)
        if self._family.prediction == "epsilon":
            return prediction
        return eps_from_v(prediction, x, self.alpha_bar(at))

    def alpha_bar(self, t: int | Shaped[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """ᾱ at timesteps: the share of the signal's variance in x_t, 0 to 1."""
        at = torch.as_tensor(t, device=self.device)
        return alpha_bar_at(self._alpha_bars.to(at.device), at)

    @cached_property
    def _alpha_bars(self) -> Float[Tensor, " train"]:
        table: Tensor = self.pipeline.scheduler.alphas_cumprod.float().to(self.device)
        return table.clamp(min=SMALLEST_ALPHA_BAR)

    def scheduler(self, solver: str = "ddim") -> Any:
        """A fresh diffusers scheduler for ε-prediction on this model's betas: "ddim", "dpm" or "euler"."""
        return make_scheduler(self.pipeline.scheduler, solver)

    def noise(self, seeds: Sequence[int], *, size: Size | None = None) -> Latents:
        """Unit Gaussian latents in fp32, each from its own seed on the CPU: no row depends on the others."""
        height, width = (pixels // self._family.factor for pixels in self._pixels(size))
        shape = (self._family.channels, height, width)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    @torch.no_grad()
    def decode(self, latents: Latents) -> list[Image.Image]:
        """Latents to pictures."""
        return images.decode_latents(self.vae, latents)

    @torch.no_grad()
    def encode_image(self, pictures: Sequence[Image.Image]) -> Latents:
        """Pictures of one size to latents in fp32, scaled as the denoiser knows them."""
        return images.encode_images(self.vae, pictures).float()

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        seeds: int | Sequence[int] = 0,
        steps: int = 20,
        guidance_scale: float = 4.0,
        negative_prompt: str = "",
        solver: str = "ddim",
        batch_size: int = 8,
        size: Size | None = None,
        guidance: Guidance | None = None,
        progress: Progress | None = None,
    ) -> list[Image.Image]:
        """Pictures of prompts. A picture depends on its prompt, seed and settings, not on its batch.

        prompts, seeds: pairs; a single one, or a list of one, goes with each of the other.
        steps: of the solver, 1 or more. guidance_scale: w in ε_∅ + w·(ε_c − ε_∅); 1 is without guidance.
        size: pixels, one number or height and width; the native size by default. guidance: a `Guidance` in the
        place of the one that is on the model, or of the formula above. progress: called with denoising steps done and
        in all, counted by picture.
        Raises BadArgument for lists of two lengths, settings out of range, and a negative prompt where the guidance
        has another one in its place.
        """
        from turpentine.models.generate import generate

        return generate(
            self,
            prompts,
            seeds,
            steps=steps,
            guidance_scale=guidance_scale,
            negative_prompt=negative_prompt,
            solver=solver,
            batch_size=batch_size,
            size=size,
            guidance=guidance,
            progress=progress,
        )

    def _pixels(self, size: Size | None) -> tuple[int, int]:
        if size is None:
            return self.size
        height, width = (size, size) if isinstance(size, int) else size
        factor = self._family.factor
        if height < factor or width < factor or height % factor or width % factor:
            raise BadArgument(
                f"{height} x {width} is not a whole number of latents: give multiples of {factor} pixels."
            )
        return height, width

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.device}, {str(self.dtype).removeprefix('torch.')})"


def _inside_unet(name: str) -> str:
    if not name.startswith("unet."):
        raise UnknownName(f"{name!r} is no parameter of the denoiser: its names begin with 'unet.'.")
    return name.removeprefix("unet.")
