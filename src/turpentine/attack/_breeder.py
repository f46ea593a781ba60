"""The population that Ring-A-Bell breeds, and what it is bred for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.attack._stages import SearchStage
from turpentine.models import Artefact, Conditioning, Model
from turpentine.models.artefact import prompt_of_ids
from turpentine.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from turpentine.attack.ring_a_bell import RingABell
    from turpentine.attack.search import Search

Population = Int[Tensor, "prompt token"]


class Breeder:
    """The population, sorted from the best, and what it is bred for."""

    def __init__(self, attack: RingABell, search: Search) -> None:
        assert search.original is not None
        self._attack, self._search, self._model = attack, search, search.victim.model
        self.done = 0
        self._vocabulary = Vocabulary(self._model)
        self._length = min(attack.tokens, self._vocabulary.room)
        with search.original.on() as model:
            self._target = target_of(
                model, attack.prompt or search.prompts[-1], attack.pairs_of(search.concept), attack.eta
            )
        self.population: Population = torch.empty(0, self._length, dtype=torch.long)
        self.fitness: Float[Tensor, " prompt"] = torch.empty(0)

    def begin(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state, or draw the first generation."""
        if state is not None:
            self.population, self.fitness, self.done = state["population"], state["fitness"], int(state["done"])
            return
        dice = torch.Generator().manual_seed(self._search.seed)
        words = self._vocabulary.words
        drawn_ids = torch.randint(len(words), (self._attack.population, self._length), generator=dice)
        self._take(words[drawn_ids], torch.empty(0))

    def breed(self) -> None:
        """Replace the worse half by children of the better."""
        attack = self._attack
        self.done += 1
        dice = torch.Generator().manual_seed(self._search.seed * 1_000_003 + self.done)
        elite = attack.population // 2
        parents = self.population[:elite]
        children = bred(parents, attack.children, attack.crossover, attack.mutation, self._vocabulary.words, dice)
        self._take(torch.cat([parents, children]), self.fitness[:elite])

    def _take(self, population: Population, fitness: Float[Tensor, " first"]) -> None:
        """Sort a population, of whose first the fitness is there already."""
        values = torch.cat([fitness, torch.full((len(population) - len(fitness),), float("nan"))])
        same = (population[:, None, :] == population[None, : len(fitness)]).all(-1)
        if len(fitness):
            values = torch.where(same.any(1), fitness[same.int().argmax(1)], values)
        fresh, places = torch.unique(population[values.isnan()], dim=0, return_inverse=True)
        if len(fresh):
            values[values.isnan()] = self._fitness_of(fresh)[places]
        order = values.argsort(stable=True)
        self.population, self.fitness = population[order], values[order]

    @torch.no_grad()
    def _fitness_of(self, rows: Population) -> Float[Tensor, " prompt"]:
        """Return how far prompts are from the target, all in one batch."""
        states = states_of(self._model.encode_tokens(self._vocabulary.prompts(rows)))
        return (states - self._target).pow(2).sum(-1).cpu()

    def stage(self) -> SearchStage:
        """Return the best prompt."""
        best = self.population[0].tolist()
        artefact: Artefact = prompt_of_ids(self._model, dict.fromkeys(self._model.family.token_tables(), best))
        state = {"population": self.population, "fitness": self.fitness, "done": torch.tensor(self.done)}
        return SearchStage(artefact, state, {"distance": float(self.fitness[0]), "generations": self.done})


def bred(
    parents: Population,
    count: int,
    crossover: float,
    mutation: float,
    words: Int[Tensor, " word"],
    dice: torch.Generator,
) -> Int[Tensor, "child token"]:
    """Return children: of one parent, or the beginning of one and the end of another, some with one word changed.

    Args:
        parents: Rows of tokens.
        count: Children.
        crossover: Share of children of two parents, 0 to 1.
        mutation: Share of children of which one word is changed, 0 to 1.
        words: Tokens that a changed word may become.
        dice: Of all chance.
    """
    length = parents.shape[1]
    first, second = torch.randint(len(parents), (2, count), generator=dice)
    crosses, mutates = torch.rand((2, count), generator=dice) < torch.tensor([[crossover], [mutation]])
    cuts = torch.randint(1, max(2, length), (count,), generator=dice)
    places = torch.randint(length, (count,), generator=dice)
    others = words[torch.randint(len(words), (count,), generator=dice)]
    is_second = crosses[:, None] & (torch.arange(length) >= cuts[:, None])
    children = torch.where(is_second, parents[second], parents[first])
    is_changed = mutates[:, None] & (torch.arange(length) == places[:, None])
    return torch.where(is_changed, others[:, None], children)


def states_of(cond: Conditioning) -> Float[Tensor, "prompt number"]:
    """Return all that the denoiser reads of prompts, a row each: the states of all tokens, and the summary if any."""
    parts = [cond.hidden.flatten(1), *([cond.pooled] if cond.pooled is not None else [])]
    return torch.cat(parts, dim=1).float()


def target_of(model: Model, prompt: str, pairs: Sequence[tuple[str, str]], eta: float) -> Float[Tensor, "1 number"]:
    """Return τ(prompt) + η·mean(τ(with) − τ(without)), the text that is searched for.

    Args:
        model: Whose text encoder τ is read.
        prompt: A prompt without the concept.
        pairs: Prompts with the concept and without it.
        eta: η, how far the concept is added.
    """
    present, absent = (model.encode([pair[side] for pair in pairs]) for side in (0, 1))
    return states_of(model.encode([prompt])) + eta * (states_of(present) - states_of(absent)).mean(0, keepdim=True)
