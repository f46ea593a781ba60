"""UnlearnDiffAtk: a few tokens before the prompt are sought against the edited weights, from one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.attack._adam import moments_of, restore_moments
from turpentine.attack._guided import Predictor
from turpentine.attack._prompts import SEARCH_SEEDS
from turpentine.attack._stages import Stage
from turpentine.attack._tokens import one_hot_slope
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack, Need, Search, Trial
from turpentine.core.settings import Count, Finite, Positive
from turpentine.models import Artefact, Model
from turpentine.models.artefact import PLACEHOLDER, placed, prompt_of_ids, word_ids
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.vocabulary import Vocabulary

BISECTIONS = 1e-5
"""ξ: how narrow the interval of the bisection gets."""

Simplex = Float[Tensor, "token vocabulary"]


@dataclass(frozen=True)
class UnlearnDiffAtk(Attack):
    """Look for tokens before the prompt with which the edited model removes noise from a picture of the concept.

    P is a row for each token, a distribution over the vocabulary, uniform at first. A token is drawn of each row, h
    its one-hot, and with e = h·E before the prompt ‖n − ε_e(x_t, t, [e; prompt])‖² goes down by Adam on P, whose
    gradient is that of h, cut to ±1; then each row is projected on the simplex by bisection. x_t = α(t)·x₀ + σ(t)·n,
    where x₀ is the mode of the autoencoder's posterior for the first reference, scaled as the denoiser takes it. After
    each timestep a picture of the likeliest tokens is judged, and the first hit ends the search. Zhang et al. 2024
    (arXiv 2310.11868); the published 50 timesteps × 40 updates, 5 tokens (3 for objects and styles).

    The authors' code draws tokens of rows that do not sum to 1 and lets weight decay move the simplex; neither is so
    here. Where a guidance is on the model, it stands inside the loss, at `guidance_scale`.

    Args:
        tokens: Before the prompt.
        timesteps: In the middle of as many equal parts of the schedule, from the least noise on.
        iterations: Updates at each timestep.
        lr: Adam's rate.
        pictures: Judged after each timestep.
        guidance_scale: w inside the loss where a guidance is on the model; by default that of the pictures.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> UnlearnDiffAtk(timesteps=2, iterations=40).cost(Trial()).backward
        80
    """

    name: ClassVar[str] = "unlearndiffatk"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "references", "judge"})

    tokens: Count = 5
    timesteps: Count = 50
    iterations: Count = 40
    lr: Positive = 0.01
    pictures: Count = 1
    guidance_scale: Finite | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all updates and pictures spend where no picture is a hit."""
        updates, judged = self.timesteps * self.iterations, self.timesteps * self.pictures
        return Spent(updates + 2 * trial.steps * judged, updates, updates + judged, judged)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[Stage]:
        """Go through the timesteps until a picture shows the concept."""
        with search.victim.on() as model, search.meter.repeating(state is not None):
            prefix = _Prefix(self, search, model)
            prefix.restore(state)
        until = prefix.done
        while prefix.done < self.timesteps and not prefix.hit:
            until = next(end for end in self._ends() if end > until)
            before = prefix.done
            while prefix.done < until and not prefix.hit and search.meter.affords(**prefix.unit):
                prefix.learn()
                prefix.hit = any(search.judged(search.draw(prefix.artefact(), range(SEARCH_SEEDS, self._last_seed))))
            if prefix.done > before:
                yield Stage(prefix.artefact(), prefix.state(), {"loss": prefix.loss, "timesteps": prefix.done})
            if prefix.done < until:
                return

    @property
    def _last_seed(self) -> int:
        return SEARCH_SEEDS + self.pictures

    def _ends(self) -> list[int]:
        return [round(self.timesteps * number / self.stages) for number in range(1, self.stages + 1)]


class _Prefix:
    """The simplex, its optimizer, and what does not change from update to update."""

    def __init__(self, attack: UnlearnDiffAtk, search: Search, model: Model) -> None:
        self._attack, self._search, self._model = attack, search, model
        self.done, self.loss, self.hit = 0, 0.0, False
        self._vocabulary = Vocabulary(model)
        self._prompt = search.prompts[-1]
        self._ids, self._places = word_ids(model, f"{PLACEHOLDER} {self._prompt}", PLACEHOLDER, attack.tokens)
        self._tables = self._vocabulary.tables(self._vocabulary.ids)
        words = len(self._vocabulary.ids)
        first = next(iter(self._tables.values()))
        self.simplex: Simplex = torch.full((attack.tokens, words), 1 / words, device=first.device)
        self._adam = torch.optim.Adam([self.simplex], lr=attack.lr)
        self._x0 = model.encode_image(search.references[:1])
        scale = search.trial.guidance_scale if attack.guidance_scale is None else attack.guidance_scale
        self._predict = Predictor.of(model, scale, search.trial.steps)
        self.unit = self._unit(rows_in_a_step(model, search.trial.guidance_scale, search.trial.steps))

    def _unit(self, in_a_step: int) -> Mapping[str, int]:
        """Return what one timestep spends at most: its updates and its pictures."""
        attack, trial = self._attack, self._search.trial
        updates = attack.iterations * self._predict.rows
        texts = (attack.iterations + 2) * (1 + self._predict.texts) + attack.pictures
        forward = updates + attack.pictures * trial.steps * in_a_step
        return {"forward": forward, "backward": updates, "text": texts, "judged": attack.pictures}

    def learn(self) -> None:
        """Make all updates of the next timestep."""
        attack = self._attack
        with self._search.victim.on():
            for iteration in range(attack.iterations):
                self.update(iteration)
                self._search.advance(
                    self.done * attack.iterations + iteration + 1, attack.timesteps * attack.iterations
                )
        self.done += 1

    def update(self, iteration: int) -> None:
        """Draw tokens, take one step of Adam, and go back to the simplex."""
        number = self.done * self._attack.iterations + iteration
        dice = torch.Generator().manual_seed(self._search.seed * 1_000_003 + number)
        rows = _one_of_each(self.simplex, dice)
        noise = torch.randn(self._x0.shape, generator=dice).to(self._x0.device)
        t = torch.tensor([_timestep(self.done, self._attack.timesteps, self._model.schedule.training_steps)])
        chosen = {name: table[rows.to(table.device)].requires_grad_() for name, table in self._tables.items()}
        with torch.enable_grad():
            cond = self._model.encode_tokens(self._ids, placed(self._model, self._ids, self._places, chosen))
            x = self._model.schedule.add_noise(self._x0, noise, t.to(noise.device))
            loss = (self._predict(x, t.to(noise.device), cond) - noise).pow(2).mean()
            slopes = torch.autograd.grad(loss, list(chosen.values()))
        self.loss = loss.item()
        self.simplex.grad = one_hot_slope(slopes, list(self._tables.values())).clamp(-1, 1).to(self.simplex)
        self._adam.step()
        self.simplex.copy_(on_simplex(self.simplex))

    def artefact(self) -> Artefact:
        """Return the likeliest tokens before the prompt."""
        ids = self._vocabulary.ids[self.simplex.argmax(-1).cpu()].tolist()
        return prompt_of_ids(self._model, dict.fromkeys(self._tables, ids), self._prompt)

    def state(self) -> dict[str, Tensor]:
        """Return what the next update hangs on."""
        facts = {"done": torch.tensor(self.done), "hit": torch.tensor(self.hit)}
        return {**facts, "simplex": self.simplex, **moments_of(self._adam, self.simplex)}

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is None:
            return
        self.done, self.hit = int(state["done"]), bool(state["hit"])
        self.simplex.copy_(state["simplex"])
        restore_moments(self._adam, self.simplex, state)


def _timestep(number: int, count: int, training_steps: int) -> int:
    """Return the middle of a part of the schedule: 10, 30, …, 990 of 1,000 for 50."""
    return int(training_steps * (number + 0.5) / count)


def _one_of_each(simplex: Simplex, dice: torch.Generator) -> Int[Tensor, " token"]:
    """Return a column for each row, drawn by its probabilities, which sum to 1."""
    return torch.multinomial(simplex.cpu(), 1, generator=dice)[:, 0]


def on_simplex(rows: Simplex) -> Simplex:
    """Return the nearest distribution to each row: max(0, row − μ), with μ so that it sums to 1, by bisection."""
    low, high = rows.min(-1, keepdim=True).values - 1, rows.max(-1, keepdim=True).values
    while (high - low).max() > BISECTIONS:
        middle = (low + high) / 2
        is_low = (rows - middle).clamp(min=0).sum(-1, keepdim=True) > 1
        low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
    # In a large vocabulary ξ is as much as a row's own numbers: it says which are left, and μ follows from these.
    is_left = rows > low
    count = is_left.sum(-1, keepdim=True)
    above = (rows - ((rows * is_left).sum(-1, keepdim=True) - 1) / count).clamp(min=0)
    return above / above.sum(-1, keepdim=True)
