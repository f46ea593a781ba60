"""Classifier-free guidance, and several guidances blended: how a step's predictions become the solver's one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from turpentine.models.conditioning import Conditioning
from turpentine.models.filters import Filter
from turpentine.models.interface import Combination, Extra, Guidance, Latents, TextToImage


class ClassifierFree:
    """Classifier-free guidance, ε_∅ + w·(ε_c − ε_∅) (Ho and Salimans 2022, arXiv 2207.12598).

    ε_∅ is computed even where w = 1 has no use for it. A denoiser that computes guidance itself reads w, and the solver
    takes its prediction as it is.
    """

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        """Begin a run, which has no state and no extra rows."""
        if model.embeds_guidance:
            return Embedded(guidance_scale, needs_uncond=True)
        return _Guided(model, guidance_scale, needs_uncond=True)


@dataclass(frozen=True)
class TrueGuidance:
    """Classifier-free guidance also where the denoiser computes guidance itself, as diffusers' `true_cfg_scale` has it.

    ε = ε_∅ + w·(ε_c − ε_∅), both with the same guidance of its own; a negative prompt stands in the place of ∅.

    Args:
        embedded: The w that the denoiser reads, 3.5 by default in FLUX.1's pipeline; 1 is for none.

    Example:
        >>> images = model.generate("a church", steps=1, guidance=TrueGuidance(), negative_prompt="red")
    """

    embedded: float = 1.0

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        """Begin a run, which has no state and no extra rows."""
        return _Guided(model, guidance_scale, needs_uncond=True, embedded=self.embedded)


def unguided(model: TextToImage, guidance_scale: float) -> Combination:
    """Return how a sampler combines predictions without a guidance: ε_∅ + w·(ε_c − ε_∅), and for w = 1 just ε_c.

    A denoiser that computes guidance itself reads w, and its prediction is taken as it is.
    """
    if model.embeds_guidance:
        return Embedded(guidance_scale, needs_uncond=False)
    return _Guided(model, guidance_scale, needs_uncond=guidance_scale != 1)


def guided(model: TextToImage, cond: Conditioning, guidance_scale: float) -> Conditioning:
    """Return rows with a w for the denoiser, if it reads one."""
    return cond.guided(guidance_scale) if model.embeds_guidance else cond


def guided_by(model: TextToImage, cond: Conditioning, combination: Combination) -> Conditioning:
    """Return all rows of a run with the w that its combination has for the denoiser, if this reads one.

    It is 1, no guidance, where the combination computes guidance of its own.
    """
    return guided(model, cond, getattr(combination, "embedded", 1.0))


@dataclass
class _Guided:
    model: TextToImage
    guidance_scale: float
    needs_uncond: bool
    extra: Conditioning | None = None
    embedded: float = 1.0

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Extra | None) -> Latents:
        return cond if uncond is None else self.model.guide(uncond, cond, self.guidance_scale)


@dataclass
class Embedded:
    """The prediction of a denoiser that computes guidance itself, taken as it is.

    Args:
        embedded: w.
        needs_uncond: Is ε_∅ computed, too, for those who look at it?
        extra: None.
    """

    embedded: float
    needs_uncond: bool
    extra: Conditioning | None = None

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Extra | None) -> Latents:
        return cond


@dataclass(frozen=True)
class Blend:
    """Several guidances at once, each at its own strength: ε = ε_w + Σ sᵢ·(εᵢ − ε_w).

    εᵢ is the prediction of guidance i alone, ε_w = ε_∅ + w·(ε_c − ε_∅). One at strength 1 is that guidance itself, bit
    by bit, and strength 0 is none. A filter predicts nothing, and is not among them.

    Args:
        parts: Guidances with their strengths sᵢ.
    """

    parts: tuple[tuple[Guidance, float], ...]

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        """Begin a run of each; their extra rows go through the denoiser together."""
        run = (model, rows, guidance_scale, steps)
        begun = [(one.start(*run), s) for one, s in self.parts if s != 0 and not isinstance(one, Filter)]
        if not begun:
            return unguided(model, guidance_scale)
        if len(begun) == 1 and begun[0][1] == 1:
            return begun[0][0]
        return _Blended(begun, guidance_scale)


class _Blended:
    needs_uncond = True

    def __init__(self, begun: Sequence[tuple[Combination, float]], guidance_scale: float) -> None:
        self._begun = begun
        self._guidance_scale = guidance_scale
        extras = [one.extra for one, _ in begun if one.extra is not None]
        self.extra = Conditioning.cat(extras) if extras else None

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Extra | None) -> Latents:
        assert uncond is not None  # needs_uncond
        plain = uncond + self._guidance_scale * (cond - uncond)
        eps, first = plain, 0
        for one, strength in self._begun:
            count = len(one.extra) if one.extra is not None else 0
            own = extra[first : first + count] if extra is not None and count else None
            eps = eps + strength * (one(index, uncond, cond, own) - plain)
            first += count
        return eps
