"""The vectors that P4D learns, and the examples of which the original's predictions are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import normalize

from turpentine.attack._learning import adam_state, restore_adam
from turpentine.attack._prediction import SamplerPrediction
from turpentine.attack._prompts import SEARCH_SEEDS
from turpentine.attack._stages import SearchStage
from turpentine.models import Artefact, Conditioning, Model
from turpentine.models.artefact import placed, prompt_of_ids
from turpentine.models.few_rows import threads_for
from turpentine.models.interface import Latents
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from turpentine.attack.p4d import P4D
    from turpentine.attack.search import Search

POOL_BATCH = 16
"""Examples of the pool in one call."""


class PromptLearner:
    """The vectors, the pool, and the best prompt until now."""

    def __init__(self, attack: P4D, search: Search) -> None:
        self._attack, self._search = attack, search
        self.done, self.hits, self.loss = 0, -1, float("inf")
        scale = search.trial.guidance_scale if attack.loss_guidance_scale is None else attack.loss_guidance_scale
        with search.victim.on() as model:
            self._model = model
            self._vocabulary = Vocabulary(model)
            self._tables = self._vocabulary.tables(self._vocabulary.ids)
            self._predict = SamplerPrediction(model, 1, scale, search.trial.steps)
            self.unit = self._unit(rows_in_a_step(model, search.trial.guidance_scale, search.trial.steps))
        self._directions = {name: normalize(table, dim=-1) for name, table in self._tables.items()}
        dice = torch.Generator().manual_seed(search.seed)
        self._pool = Pool.of(attack, search, dice, scale if self._predict.is_guided else None)
        self._prompt, self._free = self._places()
        chosen = torch.randint(len(self._vocabulary.ids), (len(self._free),), generator=dice)
        self.soft = {name: table[chosen.to(table.device)].clone() for name, table in self._tables.items()}
        self._adam = torch.optim.AdamW(self.soft.values(), lr=attack.lr, weight_decay=attack.weight_decay)
        self.best = self._projected()

    def _unit(self, in_a_step: int) -> Mapping[str, int]:
        """Return what the updates between two looks and a look spend at most."""
        attack, trial, rows = self._attack, self._search.trial, self._predict.times
        checked = min(attack.checked, attack.pool)
        forward = (attack.judge_every + checked) * rows + attack.per_candidate * trial.steps * in_a_step
        texts = (attack.judge_every + checked + 2) * (2 if self._predict.is_guided else 1) + attack.per_candidate
        return {
            "forward": forward,
            "backward": attack.judge_every * rows,
            "text": texts,
            "judged": attack.per_candidate,
        }

    def _places(self) -> tuple[list[int], list[int]]:
        """Return the tokens of the whole prompt, and which of them are learned."""
        attack = self._attack
        if attack.variant == "n":
            return [int(self._vocabulary.ids[0])] * attack.tokens, list(range(attack.tokens))
        return between(self._vocabulary.ids_of(self._search.prompts[-1]), attack.every, int(self._vocabulary.ids[0]))

    def _projected(self) -> Int[Tensor, " token"]:
        """Return the tokens that are nearest to the vectors, as columns of the tables."""
        near = [normalize(soft, dim=-1) @ self._directions[name].T for name, soft in self.soft.items()]
        return torch.stack([each.to(near[0].device) for each in near]).sum(0).argmax(-1).cpu()

    def _inner(self, chosen: Int[Tensor, " token"]) -> list[int]:
        inner = list(self._prompt)
        for place, token in zip(self._free, self._vocabulary.ids[chosen].tolist(), strict=True):
            inner[place] = token
        return inner

    def _encoded(self, chosen: Int[Tensor, " token"], vectors: Mapping[str, Tensor] | None = None) -> Conditioning:
        ids = self._vocabulary.prompts(torch.tensor([self._inner(chosen)]))
        if vectors is None:
            return self._model.encode_tokens(ids)
        words = self._vocabulary.places(len(self._prompt))
        places = {name: [words[place] for place in self._free] for name in ids}
        return self._model.encode_tokens(ids, placed(self._model, ids, places, vectors))

    def learn(self, until: int) -> None:
        """Make updates."""
        with self._search.victim.on(), threads_for(self._model, self._predict.times):
            while self.done < until:
                self.update()
                self._search.advance(self.done, self._attack.updates)

    def update(self) -> None:
        """Move the vectors by the gradient at the tokens that are nearest to them."""
        dice = torch.Generator().manual_seed(self._search.seed * 1_000_003 + self.done)
        number = int(torch.randint(self._attack.pool, (1,), generator=dice))
        chosen = self._projected()
        hard = {name: table[chosen.to(table.device)].requires_grad_() for name, table in self._tables.items()}
        with torch.enable_grad():
            loss = self._pool.loss(self._predict, self._encoded(chosen, hard), slice(number, number + 1))
            slopes = torch.autograd.grad(loss, list(hard.values()))
        for soft, slope in zip(self.soft.values(), slopes, strict=True):
            soft.grad = slope
        self._adam.step()
        self.done += 1

    def look(self) -> None:
        """Judge pictures of the nearest tokens, and take them for the result if they are better than all before."""
        chosen = self._projected()
        with self._search.victim.on(), torch.no_grad():
            cond = self._encoded(chosen)
            size = 1 if self._predict.is_guided else POOL_BATCH
            count = min(self._attack.checked, self._attack.pool)
            starts = range(0, count, size)
            ends = [min(at + size, count) for at in starts]
            losses = [
                self._pool.loss(self._predict, cond, slice(at, end)).item() * (end - at)
                for at, end in zip(starts, ends, strict=True)
            ]
        loss = sum(losses) / count
        seeds = range(SEARCH_SEEDS, SEARCH_SEEDS + self._attack.per_candidate)
        hits = sum(self._search.judged(self._search.draw(self._artefact(chosen), seeds)))
        if (hits, -loss) > (self.hits, -self.loss):
            self.best, self.hits, self.loss = chosen, hits, loss

    def _artefact(self, chosen: Int[Tensor, " token"]) -> Artefact:
        return prompt_of_ids(self._model, dict.fromkeys(self._tables, self._inner(chosen)))

    def stage(self) -> SearchStage:
        """Return the best prompt until now."""
        measurements = {"loss": self.loss, "hits in the search": self.hits, "updates": self.done}
        return SearchStage(self._artefact(self.best), self._state(), measurements)

    def _state(self) -> dict[str, Tensor]:
        state = {"done": torch.tensor(self.done), "best": self.best, "hits": torch.tensor(self.hits)}
        state["loss"] = torch.tensor(self.loss, dtype=torch.float64)
        return {**state, **adam_state(self._adam, self.soft)}

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is None:
            return
        self.done, self.hits, self.loss = int(state["done"]), int(state["hits"]), float(state["loss"])
        self.best = state["best"]
        restore_adam(self._adam, self.soft, state)


def between(prompt: list[int], every: int, free: int) -> tuple[list[int], list[int]]:
    """Return a prompt's tokens with a free one before every few and, if they come out even, at the end; and its places.

    Example:
        >>> between([7, 8, 9, 10], every=3, free=0)
        ([0, 7, 8, 9, 0, 10], [0, 4])
    """
    whole: list[int] = []
    places: list[int] = []
    for at in range(0, len(prompt) + 1, every):
        places.append(len(whole))
        whole += [free, *prompt[at : at + every]]
    return whole, places


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples, and what the original predicts of them for the concept's prompt.

    Args:
        x: x_t.
        t: Timesteps.
        target: ε_o(x_t, t, c).
    """

    x: Latents
    t: Int[Tensor, " row"]
    target: Latents

    @classmethod
    @torch.no_grad()
    def of(cls, attack: P4D, search: Search, dice: torch.Generator, guidance_scale: float | None) -> Pool:
        """Return the pool of a search.

        Args:
            attack: Its settings.
            search: With the original, and pictures of the concept.
            dice: Of all chance.
            guidance_scale: w of what the original predicts; None for its prediction of the prompt alone.
        """
        assert search.original is not None
        with search.original.on() as model:
            x0 = model.encode_image(search.references)
            rows = torch.randint(len(x0), (attack.pool,), generator=dice)
            t = torch.randint(model.schedule.training_steps, (attack.pool,), generator=dice).to(x0.device)
            noise = torch.randn((attack.pool, *x0.shape[1:]), generator=dice).to(x0.device)
            x = model.schedule.add_noise(x0[rows.to(x0.device)], noise, t)
            cond, empty = model.encode([search.prompts[-1]]), model.encode([""])
            parts = [
                _original(model, x[at : at + POOL_BATCH], t[at : at + POOL_BATCH], cond, empty, guidance_scale)
                for at in range(0, attack.pool, POOL_BATCH)
            ]
        return cls(x, t, torch.cat(parts))

    def loss(self, predict: SamplerPrediction, cond: Conditioning, rows: slice) -> Tensor:
        """Return how far a prediction is from the original's, the mean over rows and numbers of squares."""
        return (predict(self.x[rows], self.t[rows], cond) - self.target[rows]).pow(2).mean()


def _original(
    model: Model, x: Latents, t: Tensor, cond: Conditioning, empty: Conditioning, guidance_scale: float | None
) -> Latents:
    eps = model.eps(x, t, cond.repeat(len(x)))
    if guidance_scale is None:
        return eps
    uncond = model.eps(x, t, empty.repeat(len(x)))
    return uncond + guidance_scale * (eps - uncond)
