"""The sampler backwards, from a picture to the noise that it began as, and how likely such noise is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.attack._prediction import SamplerPrediction
from turpentine.models import Model
from turpentine.models.inverse import InverseStep, inverse_steps

if TYPE_CHECKING:
    from turpentine.attack.latent_inversion import LatentInversion
    from turpentine.attack.search import Search

Latents = Float[Tensor, "batch channel height width"]
Rows = Float[Tensor, " batch"]


class Inverse:
    """The steps of the sampler, backwards."""

    def __init__(self, attack: LatentInversion, search: Search, model: Model, rows: int, done: tuple[int, int]) -> None:
        self._attack, self._search, self._model, self._done = attack, search, model, done
        trial = search.trial
        self._empty = model.encode([""])
        self._predicted = SamplerPrediction(model, rows, trial.guidance_scale, trial.steps)
        self._steps = inverse_steps(model, trial.steps)

    def noise(self, pictures: Sequence[Image.Image]) -> tuple[Latents, Rows]:
        """Return the noise of pictures, and the mean over steps of ‖a·z_{t−1} + b·ε(z_t) − z_t‖² per number."""
        z = self._model.encode_image(pictures)
        residual = torch.zeros(len(z), device=z.device)
        begun, pictures_in_all = self._done
        for number, step in enumerate(self._steps):
            z, left = self._before(z, step)
            residual += left / z[0].numel() / len(self._steps)
            done = begun * len(self._steps) + (number + 1) * min(self._attack.batch, pictures_in_all - begun)
            self._search.advance(done, pictures_in_all * len(self._steps))
        return z.cpu(), residual.cpu()

    def _before(self, z: Latents, step: InverseStep) -> tuple[Latents, Rows]:
        """Return where a step of the sampler that ends at z began, and what is left of the difference."""
        times = torch.full((len(z),), step.t, device=z.device)

        def image(at_noise: Latents) -> Latents:
            return step.a * z + step.b * self._predicted(at_noise, times, self._empty, step.index)

        with torch.no_grad():
            guess = image(z)
        guess = guess.clone().requires_grad_()
        adam = torch.optim.AdamW([guess], lr=self._attack.lr, weight_decay=self._attack.weight_decay)
        best, least = guess.detach().clone(), torch.full((len(z),), math.inf, device=z.device)
        for number in range(self._attack.inner + 1):
            with torch.set_grad_enabled(number < self._attack.inner):
                left = (image(guess) - guess).pow(2).flatten(1).sum(1)
            better = left.detach() < least
            best[better], least[better] = guess.detach()[better], left.detach()[better]
            if number < self._attack.inner:
                (guess.grad,) = torch.autograd.grad(left.sum(), [guess])
                adam.step()
        return best, least


def nll(latents: Latents) -> Float[Tensor, " batch"]:
    """Return −log N(z; 0, I) of each latent."""
    rows = latents.double().flatten(1)
    return rows.pow(2).sum(1) / 2 + rows.shape[1] * math.log(2 * math.pi) / 2


def likelihood_distance(concept: Float[Tensor, " picture"], own: Float[Tensor, " own"], size: int) -> float | None:
    """Return W²(concept, noise)/W²(own, noise) of negative log-likelihoods; None where the second is 0.

    W² = (μ₁ − μ₂)² + (σ₁ − σ₂)². Of unit noise with D numbers μ is D·½(1 + log 2π) and σ is √(D/2), without sampling.

    Args:
        concept: −log N of the concept's latents.
        own: Of the model's own pictures.
        size: D.

    Example:
        >>> both = torch.tensor([3.0, 5.0])
        >>> likelihood_distance(both, both, 4)
        1.0
    """
    mean, deviation = size * _ENTROPY, math.sqrt(size / 2)
    squares = [
        (each.mean().item() - mean) ** 2 + (each.std(correction=0).item() - deviation) ** 2 for each in (concept, own)
    ]
    return squares[0] / squares[1] if squares[1] else None


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio of two pictures of one size, in dB; 100 for equal ones.

    Example:
        >>> black, white = (Image.new("RGB", (2, 2), name) for name in ("black", "white"))
        >>> psnr(black, white), psnr(black, black)
        (0.0, 100.0)
    """
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    error = float(np.mean(difference**2)) / 255**2
    return min(100.0, -10 * math.log10(error)) + 0.0 if error else 100.0


_ENTROPY = (1 + math.log(2 * math.pi)) / 2
"""The mean of −log N(n; 0, 1) of unit noise."""


def likelihood_of(reached: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return how near to a fixed point the latents are, and how likely."""
    measured: dict[str, Any] = {"residual": reached["residual"].mean().item()}
    concept = nll(reached["latents"])
    size = reached["latents"][0].numel()
    measured |= {"NLL per number": concept.mean().item() / size, "NLL per number of noise": _ENTROPY}
    if len(reached["own"]):
        own = nll(reached["own"])
        measured["NLL per number of own pictures"] = own.mean().item() / size
        measured["likelihood distance"] = likelihood_distance(concept, own, size)
    return measured
