"""The classifier of noisy latents that the classifier-guided probe follows, and the sampler that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from turpentine.core.errors import BadArgument
from turpentine.core.random_state import preserved_rng
from turpentine.models import Artefact, Combination, Conditioning, Model, sample
from turpentine.models.generate import batches
from turpentine.models.guidance import unguided
from turpentine.models.interface import Extra, TextToImage
from turpentine.models.sampler import rows_in_a_step, started

if TYPE_CHECKING:
    from turpentine.attack.classifier_probe import ClassifierProbe
    from turpentine.attack.search import Search
    from turpentine.attack.trial import Trial

Latents = Float[Tensor, "batch channel height width"]
WIDTHS = (1024, 512)
OTHERS = 8_000_000
"""Where the seeds of pictures of other things begin: no other picture has them."""


class LatentClassifier(nn.Module):
    """log-odds of the concept in x_t, from its numbers, α_t and σ_t."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        sizes = (numbers + 2, *WIDTHS)
        layers = [(nn.Linear(before, after), nn.ReLU()) for before, after in pairwise(sizes)]
        self.layers = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(sizes[-1], 1))

    def forward(self, x: Latents, alpha: Float[Tensor, " batch"], sigma: Float[Tensor, " batch"]) -> Tensor:
        """Return a number for each row."""
        logits: Tensor = self.layers(torch.cat([x.flatten(1), alpha[:, None], sigma[:, None]], dim=1))[:, 0]
        return logits

    def slope(self, x: Latents, alpha: Float[Tensor, ""], sigma: Float[Tensor, ""]) -> Latents:
        """Return ∇_x log p(concept | x_t, t)."""
        with torch.enable_grad():
            at = x.detach().float().requires_grad_()
            rows = len(x)
            log_p = logsigmoid(self(at, alpha.float().expand(rows), sigma.float().expand(rows))).sum()
            return torch.autograd.grad(log_p, at)[0].to(x)


def fitted(
    model: Model, positives: Latents, others: Latents, attack: ClassifierProbe, seed: int
) -> tuple[LatentClassifier, float]:
    """Return a classifier of latents with the concept and of others, and its loss at the end.

    Args:
        model: For its schedule.
        positives: Latents of pictures with the concept.
        others: Of pictures without it.
        attack: For the settings of the training.
        seed: Of all chance.
    """
    schedule, device = model.schedule, positives.device
    dice = torch.Generator().manual_seed(seed)
    with preserved_rng():
        torch.manual_seed(seed)
        classifier = LatentClassifier(positives[0].numel()).to(device)
    adam = torch.optim.AdamW(classifier.parameters(), lr=attack.lr, weight_decay=attack.weight_decay)
    loss = torch.tensor(0.0)
    for _ in range(attack.updates):
        rows = [_some(each, attack.batch, dice) for each in (positives, others)]
        x0 = torch.cat(rows)
        noise = torch.randn(x0.shape, generator=dice).to(device)
        t = _times(len(x0), schedule.training_steps, dice).to(device)
        x = schedule.add_noise(x0, noise, t)
        target = (torch.arange(len(x0), device=device) < len(rows[0])).float()
        with torch.enable_grad():
            logits = classifier(x, schedule.alpha(t).float(), schedule.sigma(t).float())
            loss = binary_cross_entropy_with_logits(logits, target)
            adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return classifier.requires_grad_(False), loss.item()


def _some(latents: Latents, count: int, dice: torch.Generator) -> Float[Tensor, "count channel height width"]:
    return latents[torch.randint(len(latents), (count,), generator=dice).to(latents.device)]


def _times(count: int, training_steps: int, dice: torch.Generator) -> Int[Tensor, " row"]:
    """Return T·u^⅓, u uniform: more of them are late, where there is more noise."""
    return (training_steps * torch.rand(count, generator=dice).pow(1 / 3)).long().clamp(max=training_steps - 1)


class Leading:
    """The classifier, and pictures that it leads until the last step.

    Attributes:
        loss: Of the classifier's last update.
    """

    def __init__(self, attack: ClassifierProbe, search: Search) -> None:
        self._search, trial = search, search.trial
        words = [word for word in attack.neutral if word not in search.concept.text]
        if not words:
            raise BadArgument(f"classifier-probe's neutral words are all in {search.concept.text!r}: give others.")
        prompts = tuple(f"a {word}" for word in words)
        count = len(search.references)
        pictures = search.draw(Artefact(prompts), range(OTHERS, OTHERS + count))
        with search.victim.on() as model:
            self._each = rows_in_a_step(model, trial.guidance_scale, trial.steps)
            positives, others = model.encode_image(search.references), model.encode_image(pictures)
            self._classifier, self.loss = fitted(model, positives, others, attack, search.seed)

    def unit(self, pictures: int) -> dict[str, int]:
        """Return what so many judged pictures spend."""
        rows = pictures * self._search.trial.steps * self._each
        return {"forward": rows, "text": 2 * (pictures + 1), "judged": pictures}

    def artefact(self, scale: float, seeds: Sequence[int]) -> Artefact:
        """Return the latents of seeds before the last step, each of the concept's nth prompt, in turns."""
        search, trial = self._search, self._search.trial
        prompts = [search.prompts[number % len(search.prompts)] for number in range(len(seeds))]
        latents = []
        with search.victim.on() as model:
            uncond = model.encode([""])
            for rows in batches(len(seeds), trial.at_once):
                cond, noise = model.encode(prompts[rows]), model.noise(list(seeds)[rows])
                latents.append(led(model, self._classifier, scale, cond, uncond, noise, trial))
        last = trial.steps - 1
        return Artefact(search.prompts, latents=torch.cat(latents), first=last, steps=trial.steps)


@torch.no_grad()
def led(
    model: Model,
    classifier: LatentClassifier,
    scale: float,
    cond: Conditioning,
    uncond: Conditioning,
    x: Latents,
    trial: Trial,
) -> Latents:
    """Return latents before the last step, of a run whose predictions a classifier moves.

    Args:
        model: With all its changes on.
        classifier: Of the concept.
        scale: s.
        cond: Of the prompts, a row for each latent.
        uncond: Of no prompt.
        x: Noise.
        trial: Steps and guidance scale.
    """
    times = started(model, "ddim", trial.steps).timesteps
    own = model.guidance.start(model, len(x), trial.guidance_scale, trial.steps) if model.guidance else None
    combination = own or unguided(model, trial.guidance_scale)
    for index in range(trial.steps - 1):
        t = times[index].to(x.device)
        alpha, sigma = model.schedule.alpha(t), model.schedule.sigma(t)
        shift = sigma * scale * classifier.slope(x, alpha, sigma)
        guidance = _Shifted(combination, shift)
        how = {"steps": trial.steps, "guidance_scale": trial.guidance_scale, "first": index, "last": index + 1}
        *_, step = sample(model, cond, uncond, x, guidance=guidance, **how)  # type: ignore[arg-type]
        x = step.x_next
    return x


class _Shifted:
    """A run's combination at one of its steps, less what the classifier adds."""

    def __init__(self, combination: Combination, shift: Latents) -> None:
        self._combination, self._shift = combination, shift
        self.extra, self.needs_uncond = combination.extra, combination.needs_uncond
        self.embedded = getattr(combination, "embedded", 1.0)

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        return self

    def __call__(self, index: int, uncond: Latents | None, cond: Latents, extra: Extra | None) -> Latents:
        return self._combination(index, uncond, cond, extra) - self._shift
