"""Latent inversion: the noise from which an edited model draws a given picture without any text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import annotated_types as at

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.settings import Count, NonNegative, Positive

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack._stages import SearchStage
    from turpentine.attack.attacked import Attacked
    from turpentine.attack.victim import Victim

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
        inverted: Given pictures that are inverted, at most.
        inner: Steps of AdamW for each step of the sampler; 0 is plain DDIM inversion.
        lr: AdamW's rate.
        weight_decay: AdamW's.
        batch: Pictures at a time; after each so many the search can be gone on from.
        likelihood: Invert as many of the model's own pictures, which doubles the cost?

    Example:
        >>> LatentInversion(inverted=1, inner=25, likelihood=False).cost(Trial(steps=50)).backward
        1250
    """

    name: ClassVar[str] = "latent-inversion"
    needs: ClassVar[frozenset[Need]] = frozenset({"weights", "references"})

    inverted: Count = 10
    inner: Annotated[int, at.Ge(0)] = 25
    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.01
    batch: Count = 5
    likelihood: bool = True

    def cost(self, trial: Trial) -> Spent:
        """Return what all pictures spend."""
        times = 2 if self.likelihood else 1
        rows = times * self.inverted * trial.steps
        own = 2 * self.inverted * trial.steps if self.likelihood else 0
        return Spent(forward=rows * (self.inner + 2) + own, backward=rows * self.inner, text=1)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first picture's inversion spends."""
        rows = (2 if self.likelihood else 1) * trial.steps
        return Spent(forward=rows * (self.inner + 2), backward=rows * self.inner, text=1)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Invert some pictures at a time; each stage has the latents of all until then."""
        import torch

        from turpentine.attack._inversion import Inverse, likelihood_of
        from turpentine.attack._stages import SearchStage
        from turpentine.models import Artefact

        pictures = search.references[: self.inverted]
        reached = dict(state) if state else {}
        for start in range(len(reached.get("latents", ())), len(pictures), self.batch):
            batch = pictures[start : start + self.batch]
            own = self._own(search, start, len(batch))
            with search.victim.on() as model:
                inverse = Inverse(self, search, model, len(batch) + len(own), (start, len(pictures)))
                latents, residual = inverse.noise([*batch, *own])
            new = {"latents": latents, "residual": residual, "own": latents[len(batch) :]}
            new |= {name: new[name][: len(batch)] for name in ("latents", "residual")}
            reached = {name: torch.cat([reached[name], rows]) if reached else rows for name, rows in new.items()}
            about = {"attack": self.name, "concept": search.concept.text, "model": search.victim.model.name}
            artefact = Artefact(("",), latents=reached["latents"], steps=search.trial.steps, about=about)
            yield SearchStage(artefact, reached, likelihood_of(reached))

    def concluded(self, search: Search, outcome: Attacked) -> Mapping[str, Any]:
        """Return the mean PSNR of the new pictures to the given ones."""
        from turpentine.attack._inversion import psnr

        pairs = zip(search.references, outcome.pictures, strict=False)
        each = [psnr(given, new) for given, new in pairs]
        return {"PSNR": sum(each) / len(each)}

    def _own(self, search: Search, start: int, count: int) -> Sequence[Image.Image]:
        if not self.likelihood:
            return []
        from turpentine.models import Artefact

        first = OWN_SEEDS + search.seed * self.inverted + start
        return search.draw(Artefact(("",)), range(first, first + count))
