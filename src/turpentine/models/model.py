"""A diffusers pipeline behind one small interface: encode, predict noise, sample, decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import torch
from PIL import Image
from torch import nn

from turpentine.core.default_progress import shows_progress
from turpentine.core.errors import BadArgument, NotFinite, UnknownName
from turpentine.core.progress import Progress
from turpentine.models import identity, images
from turpentine.models.artefact import Artefact
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.drawing_defaults import steps_and_guidance
from turpentine.models.families import Family, family_of
from turpentine.models.families.base import Probabilities, TokenIds, TokenVectors
from turpentine.models.families.schedule import Schedule
from turpentine.models.filters import Screen, blocked
from turpentine.models.finite import is_finite, not_finite
from turpentine.models.generate import batches, check_drawing, check_size, check_used, pair
from turpentine.models.generated import GeneratedPictures
from turpentine.models.images import Pixels
from turpentine.models.interface import Guidance, Latents, Size
from turpentine.models.predicting import Predicting
from turpentine.models.pretrained import note_living
from turpentine.models.reading import Reading
from turpentine.models.row_memory import check_picture_fits
from turpentine.models.sampler import combination_of, denoised, started
from turpentine.models.sites import Sites
from turpentine.models.text import PromptReader
from turpentine.models.weight_samples import WeightSamples
from turpentine.models.windows import Moment

# Whatever torch's defaults are: another format would be other noise of the same seed.
_UNIT: Mapping[str, Any] = {"dtype": torch.float32, "device": "cpu"}


class Model(Predicting):
    """A text-to-image diffusion model of any family that `turpentine.models.families` knows.

    Args:
        pipeline: A diffusers pipeline, whose modules are used in place, without gradients; `turpentine.load` reads one.
        name: Where it came from.

    Attributes:
        family: What is true of its architecture; methods do not ask which one it is.
        moment: The step that a sampler is computing, for hooks; None outside of one.
        edits: The edits that are on, put there by `turpentine.edits`.
        load_options: What `turpentine.load` was given beside its source, to load it again.
        guidance: The guidance that a sampler follows where it is given no other, None without; put there likewise.
        artefact: What is drawn from beside texts and seeds, None for nothing; see `turpentine.models.Artefact`.

    Raises:
        UnsupportedModel: A pipeline of another family, or with something on it that changes what it computes and that
            would be passed over, such as a LoRA of PEFT's: docs/pipelines.md has the list.

    Example:
        >>> import turpentine as tp
        >>> model = tp.load()
        >>> model.size, model.tokens
        ((32, 32), 32)
        >>> [image.size for image in model.generate(["a church", "a dog"], seeds=[0, 1], steps=1)]
        [(32, 32), (32, 32)]
    """

    def __init__(self, pipeline: Any, name: str = "") -> None:
        self.name = name or type(pipeline).__name__
        self.pipeline = pipeline
        self.family: Family = family_of(pipeline)
        self.moment: Moment | None = None
        self.edits: Any = None
        self.load_options: Mapping[str, Any] = {}
        self.guidance: Guidance | None = None
        self.artefact: Artefact | None = None
        self.samples: WeightSamples | None = None
        for component in self.components.values():
            component.eval().requires_grad_(False)
        note_living(self)

    @property
    def components(self) -> dict[str, nn.Module]:
        """The networks by the names with which the names of their parts begin."""
        return self.family.components

    @property
    def denoiser(self) -> Any:
        """The network that predicts."""
        return self.family.denoiser

    @property
    def vae(self) -> Any:
        """The autoencoder."""
        return self.family.autoencoder

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return torch.device(self.denoiser.device)

    @property
    def dtype(self) -> torch.dtype:
        """The denoiser's number format."""
        return self.family.dtype

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the native picture, in pixels."""
        return self.family.latent.height, self.family.latent.width

    @property
    def tokens(self) -> int:
        """Length of a padded prompt, start and end included."""
        return self.family.token_length

    @property
    def text(self) -> PromptReader:
        """The reader of prompts, which says where words are in them and what is cut off."""
        return PromptReader(self.family.tokenizers, self.tokens, self.family.frame)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The parts of the text that the denoiser's first layers read."""
        return self.family.readings()

    @property
    def embeds_guidance(self) -> bool:
        """Whether its denoiser computes guidance itself; see `Family.embeds_guidance`."""
        return self.family.embeds_guidance

    def guide(self, uncond: Latents, cond: Latents, guidance_scale: float) -> Latents:
        """Return ε_∅ + w·(ε_c − ε_∅), as the family's pipeline takes it; see `Family.guide`."""
        return self.family.guide(uncond, cond, guidance_scale)

    @property
    def schedule(self) -> Schedule:
        """The forward process that it was trained on: α(t), σ(t), `add_noise`, and its solvers."""
        return self.family.schedule

    @cached_property
    def sites(self) -> Sites:
        """All named parts, in order of execution."""
        return self.family.sites()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over configs and weights, the same for fp16 and fp32: two models share it if their bases are one.

        Computed at the first access, and again where `turpentine.models.identity.describe` notes other weights.
        """
        _ = self.remainder
        self.samples = WeightSamples.of(self.components)
        return identity.fingerprint(self.pipeline, self.family.identity_keys)

    def note_weights(self) -> None:
        """Take the weights as they are now for those that the fingerprint is of: only their number format changed."""
        if self.samples is not None:
            self.samples = WeightSamples.of(self.components)

    def forget_fingerprint(self) -> None:
        """Compute fingerprint and remainder anew when they are asked for the next time."""
        for name in ("fingerprint", "remainder"):
            self.__dict__.pop(name, None)

    @cached_property
    def remainder(self) -> str:
        """SHA-256 of what half precision loses of the weights, "" for nothing; computed when `fingerprint` is."""
        return identity.remainder(self.components)

    def describe(self) -> dict[str, str | int]:
        """Return facts to show to a user."""
        height, width = self.size
        return {
            "name": self.name,
            "family": self.family.title,
            "prediction": self.family.prediction,
            "picture": f"{height} x {width}",
            "tokens": self.tokens,
            "parameters": sum(weight.numel() for part in self.components.values() for weight in part.parameters()),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def module(self, name: str) -> nn.Module:
        """Return a module by its dotted name, component first: `unet.mid_block`.

        Raises:
            UnknownName: The model has no such module.
        """
        component, _, path = name.partition(".")
        try:
            return self.components[component].get_submodule(path)
        except (KeyError, AttributeError):
            raise UnknownName(f"The model {self.name!r} has no module {name!r}.") from None

    def parameter(self, name: str) -> nn.Parameter:
        """Return a weight or bias by its dotted name, component first.

        Raises:
            UnknownName: The model has no such parameter.
        """
        component, _, path = name.partition(".")
        try:
            return self.components[component].get_parameter(path)
        except (KeyError, AttributeError):
            raise UnknownName(f"The model {self.name!r} has no parameter {name!r}.") from None

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], *, size: Size | None = None, negative: bool = False) -> Conditioning:
        """Return the conditioning of prompts, a row each. `""` is the empty prompt as the model was trained on it.

        Args:
            prompts: Texts; longer ones than the model reads are cut, with a warning.
            size: The picture to draw, in pixels, for families whose denoiser reads it; the native size by default.
            negative: As prompts to lead away from, which SANA's pipeline reads without its instruction.

        Raises:
            NotFinite: A text encoder gives NaN or infinity; the message says in which module first.
        """
        if isinstance(prompts, str):
            raise BadArgument("Give encode a list of prompts, not a single text.")
        pixels = self._pixels(size)
        cond = self._encoded(prompts, pixels, negative)
        if not cond.is_finite():
            what = f"The text encoder gives NaN or infinity for {prompts[0]!r} or a prompt of the same batch"
            raise not_finite(what, self.components, lambda: self._encoded(prompts, pixels, negative))
        return cond

    def encode_tokens(
        self, ids: TokenIds, vectors: TokenVectors | None = None, *, size: Size | None = None
    ) -> Conditioning:
        """Return the conditioning of token ids, a row each; gradients go through it to `vectors`.

        Args:
            ids: Of padded prompts, by text encoder, as `model.family.tokenize` returns them.
            vectors: What the encoders read in the place of the ids' own, such as `model.family.embed_tokens` returns.
            size: As in `encode`.

        Example:
            >>> ids = model.family.tokenize(["a church"])
            >>> same = model.encode_tokens(ids, model.family.embed_tokens(ids))
            >>> torch.equal(same.hidden, model.encode(["a church"]).hidden)
            True
        """
        return self.family.encode_tokens(ids, self._pixels(size), vectors)

    def token_width(self, component: str) -> int:
        """Return how many numbers a token's vector has in a text encoder, by the component of its sites."""
        return int(self.family.token_tables()[component].shape[1])

    def noise(self, seeds: Sequence[int], *, size: Size | None = None) -> Latents:
        """Return unit Gaussian latents in fp32, each from its own seed on the CPU: no row depends on the others."""
        if self.artefact is not None and self.artefact.latents is not None:
            return self.artefact.noise(self, seeds, size)
        shape = self.latent_shape(size=size)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed), **_UNIT) for seed in seeds]
        return torch.stack(rows).to(self.device)

    def latent_shape(self, *, size: Size | None = None) -> tuple[int, int, int]:
        """Return channels, height and width of a picture's latent."""
        height, width = (pixels // self.family.latent.factor for pixels in self._pixels(size))
        return self.family.latent.channels, height, width

    @torch.no_grad()
    def decode(self, latents: Latents) -> list[Image.Image]:
        """Return the pictures of latents.

        Raises:
            NotFinite: The latents hold NaN or infinity, or the autoencoder gives it; the message says in which module.
        """
        return images.decode_latents(self._decoded, latents)

    @torch.no_grad()
    def encode_image(self, pictures: Sequence[Image.Image]) -> Latents:
        """Return the latents of pictures of one size, in fp32, scaled as the denoiser takes them.

        Raises:
            NotFinite: The autoencoder gives NaN or infinity; the message says in which module first.
        """
        pixels = images.to_pixels(pictures).to(self.vae.device)
        latents = self.encode_pixels(pixels)
        if not is_finite(latents):
            what = "The autoencoder gives NaN or infinity for a picture"
            raise not_finite(what, {"vae": self.vae}, lambda: self.encode_pixels(pixels))
        return latents

    def encode_pixels(self, pixels: Pixels) -> Latents:
        """Return the same of values from −1 to 1; gradients go through it."""
        return self.family.latents(pixels).float()

    def attention(self, call: Call) -> Probabilities:
        """Yield what a cross-attention module attends to, after its call; see `Family.attention`."""
        return self.family.attention(call)

    @shows_progress("Drawing", "steps")
    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        seeds: int | Sequence[int] = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = "",
        solver: str = "ddim",
        batch_size: int = 8,
        size: Size | None = None,
        guidance: Guidance | None = None,
        progress: Progress | Literal[False] | None = None,
    ) -> GeneratedPictures:
        """Draw prompts. A picture depends on its prompt, seed and settings, not on its batch.

        Args:
            prompts: One goes with each seed; else as many as seeds.
            seeds: One goes with each prompt; whole numbers from 0.
            steps: Of the solver, 1 or more; by default the family's, see `turpentine.models.steps_and_guidance`.
            guidance_scale: w in ε_∅ + w·(ε_c − ε_∅), which FLUX.1-dev computes itself; 1 is without guidance. The
                family's by default.
            negative_prompt: The text in the place of ∅; None is none.
            solver: "ddim", "dpm", "euler" or "ddpm"; the last adds fresh noise at each step, which hangs on the seed.
            batch_size: Pictures in a call of the denoiser, at most.
            size: Pixels, one number or height and width; the native size by default.
            guidance: In the place of the one that is on the model, or of the formula above. What a filter lets not
                through is black.
            progress: Called with denoising steps done and in all, counted by picture; by default a terminal or a
                notebook shows a bar, and False shows none. See `turpentine.set_progress_bars`.

        Raises:
            BadArgument: Lists of two lengths, settings out of range, and a negative prompt where the guidance has
                another one in its place; raised before anything is drawn.
            NoMemory: A picture of the size cannot be decoded in what is free.
            UnknownName: There is no such solver.
            UnsupportedModel: Something that changes what the pipeline computes was put on it since.
            NotFinite: The denoiser or the autoencoder gives NaN or infinity; the message says where, and in which step.
        """
        self.family.check(hooks=False)
        negative_prompt, guidance = "" if negative_prompt is None else negative_prompt, guidance or self.guidance
        steps, guidance_scale = steps_and_guidance(self, steps, guidance_scale)
        check_drawing(
            steps=steps, guidance_scale=guidance_scale, negative_prompt=negative_prompt, batch_size=batch_size
        )
        texts, numbers = pair(prompts, seeds)
        if size is not None:
            check_picture_fits(self, size)
        started(self, solver, steps)
        if negative_prompt and (guidance is not None or self.embeds_guidance):
            check_used(negative_prompt, combination_of(self, guidance, 1, guidance_scale, steps))
        how: dict[str, Any] = {"steps": steps, "guidance_scale": guidance_scale, "solver": solver, "guidance": guidance}
        how |= self._start(steps)
        uncond, screen = self.encode([negative_prompt], size=size, negative=True), Screen(guidance, texts)
        pictures: list[Image.Image] = []
        for rows in batches(len(texts), batch_size):
            advance = partial(_advance, progress, rows.start * steps, len(texts) * steps)
            if screen.stops(rows):
                pictures += [blocked(self._pixels(size)[::-1])] * len(texts[rows])
                advance(len(texts[rows]) * steps)
                continue
            noise, cond = self.noise(numbers[rows], size=size), self.encode(texts[rows], size=size)
            latents = denoised(self, cond, uncond, noise, advance=advance, **how)
            pictures += screen.screened(rows, self.decode(latents))
        return GeneratedPictures(pictures, texts, numbers)

    def _start(self, steps: int) -> dict[str, Any]:
        """Return where a run of so many steps begins, and its fresh noise, where an artefact on the model says it."""
        if self.artefact is None:
            return {}
        self.artefact.check_steps(steps)
        return {"first": self.artefact.first, "churn": self.artefact.churn}

    def _encoded(self, prompts: Sequence[str], pixels: tuple[int, int], negative: bool) -> Conditioning:
        if self.artefact is None or not self.artefact.is_read_in(prompts):
            return self.family.encode_negative(prompts, pixels) if negative else self.family.encode(prompts, pixels)
        return self.artefact.encode(self, prompts, pixels)

    def _decoded(self, latents: Latents) -> Pixels:
        pixels = self.family.pixels(latents)
        if is_finite(pixels):
            return pixels
        if not is_finite(latents):
            raise NotFinite("The latents hold NaN or infinity before they are decoded: draw them again.")
        raise not_finite(
            "The autoencoder gives NaN or infinity", {"vae": self.vae}, lambda: self.family.pixels(latents)
        )

    def _pixels(self, size: Size | None) -> tuple[int, int]:
        if size is None:
            return self.size
        height, width = check_size(size)
        self.family.latent.check_size(height, width)
        return height, width


def _advance(progress: Progress | Literal[False] | None, before: int, total: int, done: int) -> None:
    if progress:
        progress(before + done, total)
