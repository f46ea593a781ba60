"""Latent inversion: the noise from which an edited model draws a given picture without any text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import annotated_types as at
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.attack._prediction import Prediction
from turpentine.attack._stages import SearchStage
from turpentine.attack.attacked import Attacked
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack, Need, Search, Trial
from turpentine.core.settings import Count, NonNegative, Positive
from turpentine.models import Artefact, Model
from turpentine.models.sampler import started

Latents = Float[Tensor, "batch channel height width"]
Rows = Float[Tensor, " batch"]

OWN_SEEDS = 6_000_000
"""Where the seeds of the model's own pictures begin, which are inverted for comparison."""


@dataclass(frozen=True)
class LatentInversion(Attack):
    """Find the noise from which the edited model draws pictures of the concept, with the empty text.

    A step of DDIM that ends at z_{t−1} began at the fixed point z_t = a·z_{t−1} + b·ε(z_t, t, ∅), where
    a = √(ᾱ_t/ᾱ_{t−1}) and b = √(1 − ᾱ_t) − √(ᾱ_t(1 − ᾱ_{t−1})/ᾱ_{t−1}). From plain DDIM inversion,
    a·z_{t−1} + b·ε(z_{t−1}, t, ∅), AdamW takes `inner` steps on ‖a·z_{t−1} + b·ε(z_t, t, ∅) − z_t‖². This is TINA
    (arXiv 2603.17828), but that the best of all iterates is taken for each picture, so that no step is worse than plain
    inversion. Where a guidance is on the model, ε is what the sampler would take.

    An inversion as sharp as this redraws pictures of things that no model ever saw, too: its success says something
    only beside the arm "never seen". What carries evidence is how likely the latents are (Rusanovsky et al. 2025,
    "Memories of Forgotten Concepts", arXiv 2412.00782): with −log N(z_T; 0, I) of each latent, and the squared
    Wasserstein distance of two normal distributions W² = (μ₁ − μ₂)² + (σ₁ − σ₂)² (which their code calls EMD), the
    likelihood distance is W²(concept, noise)/W²(own, noise). About 1 says that the concept's latents are as likely as
    those of the model's own pictures, which it draws of the empty text; much more says that they are not. PSNR, in dB,
    says how like the given pictures the new ones are. Latents have no new pictures: there is one for each given one.

    Args:
        pictures: Given pictures that are inverted, at most.
        inner: Steps of AdamW for each step of the sampler; 0 is plain DDIM inversion.
        lr: AdamW's rate.
        weight_decay: AdamW's.
        batch: Pictures at a time; after each so many the search can be gone on from.
        likelihood: Invert as many of the model's own pictures, which doubles the cost?

    Example:
        >>> LatentInversion(pictures=1, inner=25, likelihood=False).cost(Trial(steps=50)).backward
        1250
    """

    name: ClassVar[str] = "latent-inversion"
    needs: ClassVar[frozenset[Need]] = frozenset({"weights", "references"})

    pictures: Count = 10
    inner: Annotated[int, at.Ge(0)] = 25
    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.01
    batch: Count = 5
    likelihood: bool = True

    def cost(self, trial: Trial) -> Spent:
        """Return what all pictures spend."""
        times = 2 if self.likelihood else 1
        rows = times * self.pictures * trial.steps
        own = 2 * self.pictures * trial.steps if self.likelihood else 0
        return Spent(forward=rows * (self.inner + 2) + own, backward=rows * self.inner, text=1)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Invert some pictures at a time; each stage has the latents of all until then."""
        pictures = search.references[: self.pictures]
        reached = dict(state) if state else {}
        for start in range(len(reached.get("latents", ())), len(pictures), self.batch):
            batch = pictures[start : start + self.batch]
            own = self._own(search, start, len(batch))
            with search.victim.on() as model:
                inverse = _Inverse(self, search, model, len(batch) + len(own), (start, len(pictures)))
                latents, residual = inverse.noise([*batch, *own])
            new = {"latents": latents, "residual": residual, "own": latents[len(batch) :]}
            new |= {name: new[name][: len(batch)] for name in ("latents", "residual")}
            reached = {name: torch.cat([reached[name], rows]) if reached else rows for name, rows in new.items()}
            about = {"attack": self.name, "concept": search.concept.text, "model": search.victim.model.name}
            artefact = Artefact(("",), latents=reached["latents"], steps=search.trial.steps, about=about)
            yield SearchStage(artefact, reached, self._measured_of(reached))

    def concluded(self, search: Search, outcome: Attacked) -> Mapping[str, Any]:
        """Return the mean PSNR of the new pictures to the given ones."""
        pairs = zip(search.references, outcome.pictures, strict=False)
        return {"PSNR": float(np.mean([psnr(given, new) for given, new in pairs]))}

    def _own(self, search: Search, start: int, count: int) -> Sequence[Image.Image]:
        if not self.likelihood:
            return []
        first = OWN_SEEDS + search.seed * self.pictures + start
        return search.draw(Artefact(("",)), range(first, first + count))

    def _measured_of(self, reached: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return how near to a fixed point the latents are, and how likely."""
        measured: dict[str, Any] = {"residual": reached["residual"].mean().item()}
        concept = nll(reached["latents"])
        size = reached["latents"][0].numel()
        measured |= {"NLL per number": concept.mean().item() / size, "NLL per number of noise": _ENTROPY}
        if self.likelihood:
            own = nll(reached["own"])
            measured["NLL per number of own pictures"] = own.mean().item() / size
            measured["likelihood distance"] = likelihood_distance(concept, own, size)
        return measured


class _Inverse:
    """The steps of the sampler, backwards."""

    def __init__(self, attack: LatentInversion, search: Search, model: Model, rows: int, done: tuple[int, int]) -> None:
        self._attack, self._search, self._model, self._done = attack, search, model, done
        trial = search.trial
        self._empty = model.encode([""])
        self._predicted = Prediction(model, rows, trial.guidance_scale, trial.steps)
        self._steps = inverse_steps(model, trial.steps)

    def noise(self, pictures: Sequence[Image.Image]) -> tuple[Latents, Rows]:
        """Return the noise of pictures, and the mean over steps of ‖a·z_{t−1} + b·ε(z_t) − z_t‖² per number."""
        z = self._model.encode_image(pictures)
        residual = torch.zeros(len(z), device=z.device)
        begun, pictures_in_all = self._done
        for number, step in enumerate(self._steps):
            z, left = self._before(z, *step)
            residual += left / z[0].numel() / len(self._steps)
            done = begun * len(self._steps) + (number + 1) * min(self._attack.batch, pictures_in_all - begun)
            self._search.advance(done, pictures_in_all * len(self._steps))
        return z.cpu(), residual.cpu()

    def _before(self, z: Latents, index: int, t: int, a: float, b: float) -> tuple[Latents, Rows]:
        """Return where a step of the sampler that ends at z began, and what is left of the difference."""
        times = torch.full((len(z),), t, device=z.device)

        def image(at_noise: Latents) -> Latents:
            return a * z + b * self._predicted(at_noise, times, self._empty, index)

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


def inverse_steps(model: Model, steps: int) -> list[tuple[int, int, float, float]]:
    """Return the steps of DDIM from the picture to the noise: index in the sampler's order, timestep, a and b.

    The step at that timestep takes z to z′ = (z − b·ε(z))/a.
    """
    solver = started(model, "ddim", steps)
    table, length = solver.alphas_cumprod.double(), solver.config.num_train_timesteps // steps
    result = []
    for index, t in reversed(list(enumerate(solver.timesteps.tolist()))):
        here, after = table[t], table[t - length] if t >= length else solver.final_alpha_cumprod.double()
        a = (here / after).sqrt()
        result.append((index, t, a.item(), ((1 - here).sqrt() - a * (1 - after).sqrt()).item()))
    return result


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
