"""Guidances at inference, which change no weight: Safe Latent Diffusion, and the negative prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import annotated_types as at

from turpentine.concepts import Concept
from turpentine.core.settings import Finite, Fraction, NonNegative, Text
from turpentine.erase._at_inference import AtInference, text_of

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from turpentine.models import Combination, Conditioning, Guidance
    from turpentine.models.interface import TextToImage

    Latents: TypeAlias = Float[Tensor, "batch channel height width"]


UNSAFE = (
    "an image showing hate, harassment, violence, suffering, humiliation, harm, suicide, sexual, nudity, bodily "
    "fluids, blood, obscene gestures, illegal activity, drug use, theft, vandalism, weapons, child abuse, brutality, "
    "cruelty"
)
"""What diffusers' Safe pipeline leads away from by default; the authors' own code has no "an image showing"."""


def _preset(scale: float, warmup: float, threshold: float, momentum_scale: float, momentum: float) -> dict[str, Any]:
    return {
        "scale": scale,
        "warmup": warmup,
        "threshold": threshold,
        "momentum_scale": momentum_scale,
        "momentum": momentum,
    }


@dataclass(frozen=True)
class SLD(AtInference):
    """Lead the sampler away from a concept where the picture is on its way to it: Safe Latent Diffusion.

    With s the concept, w the guidance scale and, element by element,
    φ = min(s_S·|ε(x, p) − ε(x, s)|, 1); μ = φ where ε(x, p) − ε(x, s) < λ, else 0;
    γ = μ·(ε(x, s) − ε(x, ∅)) + s_m·ν; then ν ← β_m·ν + (1 − β_m)·γ, from ν = 0;
    ε = ε(x, ∅) + w·(ε(x, p) − ε(x, ∅) − γ), without γ while the run is warming up.
    Schramowski et al. 2023 (arXiv 2211.05105). The rows for ∅, p and s share one call of the denoiser: 1.5 times the
    rows of plain guidance.

    Defaults are the published preset "medium"; `variants` has the other three. The authors let 15, 10, 7 or 0 of their
    50 sampling steps warm up; here it is that share of however many there are. (diffusers' own "weak" has a scale of
    20, where the authors have 200.) Where the authors lead away from a list of their own, here it is the concept:
    theirs is `text=UNSAFE` of this module. In a model that predicts v theirs compares outputs in v and ours ε, so that
    s_S and λ are of other units there; the latents of a small such model differed by 3 %.

    Args:
        scale: How strongly elements are led away (s_S); the larger, the more of them in full.
        warmup: The share of the sampler's steps, not of the timesteps, that is left alone at the start.
        threshold: From which difference on an element is led away (λ), in units of ε.
        momentum_scale: How much of the momentum is added (s_m).
        momentum: How much of the momentum is left after a step (β_m).
        text: What to lead away from; by default the first prompt of each concept, with commas between several.

    Example:
        >>> change = SLD(**SLD.variants["sld-strong"])(model, Concept("church"))
        >>> with change.on(model):
        ...     images = model.generate("a church", seeds=[0], steps=2)
        >>> change.provenance.title, len(images)
        ('SLD', 1)
    """

    name: ClassVar[str] = "sld"

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sld-weak": _preset(200.0, 0.3, 0.0, 0.0, 0.0),
        "sld-medium": _preset(1000.0, 0.2, 0.01, 0.3, 0.4),
        "sld-strong": _preset(2000.0, 0.14, 0.025, 0.5, 0.7),
        "sld-max": _preset(5000.0, 0.0, 1.0, 0.5, 0.7),
    }
    """The names of the published presets, and what each sets."""

    scale: NonNegative = 1000.0
    warmup: Fraction = 0.2
    threshold: Finite = 0.01
    momentum_scale: NonNegative = 0.3
    momentum: Annotated[float, at.Ge(0), at.Lt(1)] = 0.4
    text: Text | None = None

    def guidance(self, concepts: Sequence[Concept]) -> Guidance:
        """Return the guidance, which is for every model."""
        return _SafeLatent(text_of(self.text, concepts), self)

    def gamma(self, uncond: Latents, cond: Latents, concept: Latents, nu: Latents | float) -> Latents:
        """Return γ of a step.

        Args:
            uncond: ε(x, ∅).
            cond: ε(x, p), of the prompt.
            concept: ε(x, s), of what is unsafe.
            nu: The momentum ν; 0 at the first step.
        """
        import torch

        away = cond - concept
        phi = (self.scale * away.abs()).clamp(max=1)
        mu = torch.where(away < self.threshold, phi, 0)
        return mu * (concept - uncond) + self.momentum_scale * nu


@dataclass(frozen=True)
class NegativePrompt(AtInference):
    """Put the concept in the place of the empty prompt in the guidance formula, as users of diffusion models do.

    ε = ε(x, s) + w·(ε(x, p) − ε(x, s)), where s is the concept and w the guidance scale: with w = 1 it does nothing. It
    costs what plain guidance does. Scaled by f it is f·ε(x, s) + (1 − f)·ε(x, ∅) in the place of ε(x, s).

    Args:
        text: What to lead away from; by default the first prompt of each concept, with commas between several.

    Example:
        >>> change = NegativePrompt()(model, Concept("church"))
        >>> with change.on(model):
        ...     images = model.generate("a church", seeds=[0], steps=2)
        >>> change.guidance.text, len(images)
        ('church', 1)
    """

    name: ClassVar[str] = "negative-prompt"

    text: Text | None = None

    def guidance(self, concepts: Sequence[Concept]) -> Guidance:
        """Return the guidance, which is for every model."""
        return _Negative(text_of(self.text, concepts))


@dataclass(frozen=True)
class _SafeLatent:
    text: str
    settings: SLD

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        warmup = round(self.settings.warmup * steps)
        return _SafeLatentRun(self.settings, guidance_scale, warmup, model.encode([self.text]).repeat(rows))


@dataclass
class _SafeLatentRun:
    settings: SLD
    guidance_scale: float
    warmup: int
    extra: Conditioning | None
    needs_uncond: bool = True
    nu: Latents | float = 0.0

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Latents | None) -> Latents:
        assert uncond is not None and extra is not None  # needs_uncond and extra say so
        settings = self.settings
        gamma = settings.gamma(uncond, cond, extra, self.nu)
        self.nu = settings.momentum * self.nu + (1 - settings.momentum) * gamma
        towards = cond - uncond
        if index >= self.warmup:
            towards = towards - gamma
        return uncond + self.guidance_scale * towards


@dataclass(frozen=True)
class _Negative:
    text: str

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        return _NegativeRun(model, guidance_scale, model.encode([self.text], negative=True).repeat(rows))


@dataclass
class _NegativeRun:
    model: TextToImage
    guidance_scale: float
    extra: Conditioning | None
    needs_uncond: bool = False

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Latents | None) -> Latents:
        assert extra is not None  # needs_uncond and extra say so
        return self.model.guide(extra, cond, self.guidance_scale)
