"""The tokens before a prompt that UnlearnDiffAtk learns, as distributions over the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.attack._learning import adam_state, restore_adam
from turpentine.attack._prediction import SamplerPrediction
from turpentine.attack._prompts import SEARCH_SEEDS
from turpentine.attack._stages import SearchStage
from turpentine.attack._tokens import one_hot_slope
from turpentine.models import Artefact, Model
from turpentine.models.artefact import PLACEHOLDER, placed, prompt_of_ids, word_ids
from turpentine.models.few_rows import threads_for
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from turpentine.attack.search import Search
    from turpentine.attack.unlearndiffatk import UnlearnDiffAtk

BISECTIONS = 1e-5
"""ξ: how narrow the interval of the bisection gets."""

Simplex = Float[Tensor, "token vocabulary"]


class Prefix:
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
        scale = search.trial.guidance_scale if attack.loss_guidance_scale is None else attack.loss_guidance_scale
        self._predict = SamplerPrediction(model, 1, scale, search.trial.steps)
        self.unit = self._unit(rows_in_a_step(model, search.trial.guidance_scale, search.trial.steps))

    def _unit(self, in_a_step: int) -> Mapping[str, int]:
        """Return what one timestep spends at most: its updates and its pictures."""
        attack, trial = self._attack, self._search.trial
        updates = attack.iterations * self._predict.times
        texts = (attack.iterations + 2) * (2 if self._predict.is_guided else 1) + attack.per_candidate
        forward = updates + attack.per_candidate * trial.steps * in_a_step
        return {"forward": forward, "backward": updates, "text": texts, "judged": attack.per_candidate}

    def look(self) -> None:
        """Judge pictures of the likeliest tokens."""
        seeds = range(SEARCH_SEEDS, SEARCH_SEEDS + self._attack.per_candidate)
        self.hit = any(self._search.judged(self._search.draw(self.artefact(), seeds)))

    def learn(self) -> None:
        """Make all updates of the next timestep."""
        attack = self._attack
        with self._search.victim.on(), threads_for(self._model, self._predict.times):
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
        rows = one_of_each(self.simplex, dice)
        noise = torch.randn(self._x0.shape, generator=dice).to(self._x0.device)
        t = torch.tensor([timestep(self.done, self._attack.timesteps, self._model.schedule.training_steps)])
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

    def stage(self) -> SearchStage:
        """Return the tokens now, and what the next update hangs on."""
        facts = {"done": torch.tensor(self.done), "hit": torch.tensor(self.hit)}
        state = {**facts, **adam_state(self._adam, {"simplex": self.simplex})}
        return SearchStage(self.artefact(), state, {"loss": self.loss, "timesteps": self.done})

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is not None:
            self.done, self.hit = int(state["done"]), bool(state["hit"])
            restore_adam(self._adam, {"simplex": self.simplex}, state)


def timestep(number: int, count: int, training_steps: int) -> int:
    """Return the middle of a part of the schedule: 10, 30, …, 990 of 1,000 for 50."""
    return int(training_steps * (number + 0.5) / count)


def one_of_each(simplex: Simplex, dice: torch.Generator) -> Int[Tensor, " token"]:
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
