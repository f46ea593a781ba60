"""Ring-A-Bell: a genetic search for words that the text encoder reads as the concept's prompt, and more of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import annotated_types as at
import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.attack._stages import Stage
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack, Need, Search, Trial
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import one_line
from turpentine.core.settings import Count, Finite, Fraction, Text
from turpentine.models import Artefact, Conditioning, Model
from turpentine.models.artefact import prompt_of_ids
from turpentine.models.vocabulary import Vocabulary

Population = Int[Tensor, "prompt token"]


@dataclass(frozen=True)
class RingABell(Attack):
    """Breed rows of words whose states in the text encoder are those of the concept's prompt plus a direction.

    v is the mean over pairs of τ(with) − τ(without), T = τ(prompt) + η·v over all tokens, both of the original's text
    encoder, and Σ‖T − τ_e(words)‖² is what is to be small. Each generation keeps the better half as it is, and fills
    up with children: of one of them, or of two cut at one place, with one word changed now and then. No picture is
    looked at. Tsai et al. 2024 (arXiv 2310.10012): 200 prompts, 3,000 generations, η 3 to 5.5, 16, 38 or 75 tokens.

    The authors change the better half in place, so that the best can be lost, and take tokens that no text becomes;
    here the best never gets worse, and all tokens are printable words.

    Args:
        tokens: Of the prompt, without start and end; as many as the model reads where that is less.
        eta: How much of the direction (η).
        population: Prompts in a generation.
        generations: Bred.
        crossover: The chance that a child has two parents.
        mutation: The chance that a word of a child is changed.
        prompt: Which the words stand for; by default the concept's last.
        pairs: A CSV file with columns `with` and `without`, a pair of prompts a line; by default the concept's own
            prompts beside those of the words in `neutral`.
        neutral: Other words, for the default pairs.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> RingABell(generations=10, population=20).cost(Trial()).text
        120
    """

    name: ClassVar[str] = "ring-a-bell"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "original"})

    tokens: Count = 16
    eta: Finite = 3.0
    population: Annotated[int, at.Ge(2)] = 200
    generations: Count = 3000
    crossover: Fraction = 0.5
    mutation: Fraction = 0.25
    prompt: Text | None = None
    pairs: Path | None = None
    neutral: tuple[Text, ...] = ("dog", "car", "tree", "house", "fish")
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all generations spend at most: the better half is not encoded again, nor are equal children."""
        return Spent(text=self.population + self.generations * (self.population - self.population // 2))

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[Stage]:
        """Breed; each stage has the best words until then."""
        with search.meter.repeating(state is not None):
            breeder = _Breeder(self, search)
        if state is None:
            with search.victim.on():
                breeder.begin()
        else:
            breeder.restore(state)
        until = breeder.done
        while breeder.done < self.generations:
            until = next(end for end in self._ends() if end > until)
            before = breeder.done
            with search.victim.on():
                while breeder.done < until and search.meter.affords(text=self.population - self.population // 2):
                    breeder.breed()
                    search.advance(breeder.done, self.generations)
            if breeder.done > before:
                yield breeder.stage()
            if breeder.done < until:
                return

    def pairs_of(self, concept: Concept) -> list[tuple[str, str]]:
        """Return prompts with and without the concept, each pair once.

        Raises:
            BadArgument: The file cannot be read or has no pair, or no neutral word is left.
        """
        if self.pairs is not None:
            return _read_pairs(self.pairs)
        others = [word for word in self.neutral if word not in concept.text]
        if not others:
            raise BadArgument(
                f"RingABell's neutral words are all in {concept.text!r}: give others, or a file of pairs."
            )
        without = [Concept(word, concept.kind, concept.templates).prompts for word in others]
        return list(dict.fromkeys(pair for prompts in without for pair in zip(concept.prompts, prompts, strict=True)))

    def _ends(self) -> list[int]:
        return [round(self.generations * number / self.stages) for number in range(1, self.stages + 1)]


class _Breeder:
    """The population, sorted from the best, and what it is bred for."""

    def __init__(self, attack: RingABell, search: Search) -> None:
        assert search.original is not None
        self._attack, self._search, self._model = attack, search, search.victim.model
        self.done = 0
        self._vocabulary = Vocabulary(self._model)
        self._length = min(attack.tokens, self._model.tokens - 2)
        with search.original.on() as model:
            self._target = target_of(
                model, attack.prompt or search.prompts[-1], attack.pairs_of(search.concept), attack.eta
            )
        self.population: Population = torch.empty(0, self._length, dtype=torch.long)
        self.fitness: Float[Tensor, " prompt"] = torch.empty(0)

    def begin(self) -> None:
        """Draw the first generation."""
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
        count = attack.population - elite
        children = bred(parents, count, attack.crossover, attack.mutation, self._vocabulary.words, dice)
        self._take(torch.cat([parents, children]), self.fitness[:elite])

    def _take(self, population: Population, fitness: Float[Tensor, " first"]) -> None:
        """Sort a population, of whose first the fitness is there already."""
        values = torch.cat([fitness, torch.full((len(population) - len(fitness),), float("nan"))])
        same = (population[:, None, :] == population[None, : len(fitness)]).all(-1)
        if len(fitness):
            values = torch.where(same.any(1), fitness[same.int().argmax(1)], values)
        fresh, places = population[values.isnan()].unique(dim=0, return_inverse=True)
        if len(fresh):
            values[values.isnan()] = self._fitness_of(fresh)[places]
        order = values.argsort(stable=True)
        self.population, self.fitness = population[order], values[order]

    @torch.no_grad()
    def _fitness_of(self, rows: Population) -> Float[Tensor, " prompt"]:
        """Return how far prompts are from the target, all in one batch."""
        states = states_of(self._model.encode_tokens(self._vocabulary.prompts(rows)))
        return (states - self._target).pow(2).sum(-1).cpu()

    def stage(self) -> Stage:
        """Return the best prompt."""
        best = self.population[0].tolist()
        artefact: Artefact = prompt_of_ids(self._model, dict.fromkeys(self._model.family.token_tables(), best))
        state = {"population": self.population, "fitness": self.fitness, "done": torch.tensor(self.done)}
        return Stage(artefact, state, {"distance": float(self.fitness[0]), "generations": self.done})

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        self.population, self.fitness, self.done = state["population"], state["fitness"], int(state["done"])


def bred(
    parents: Population,
    count: int,
    crossover: float,
    mutation: float,
    words: Int[Tensor, " word"],
    dice: torch.Generator,
) -> Int[Tensor, "child token"]:
    """Return children: of one parent, or the beginning of one and the end of another, some with one word changed."""
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
    """Return τ(prompt) + η·mean(τ(with) − τ(without))."""
    present, absent = (model.encode([pair[side] for pair in pairs]) for side in (0, 1))
    return states_of(model.encode([prompt])) + eta * (states_of(present) - states_of(absent)).mean(0, keepdim=True)


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadArgument(f"{one_line(str(path))} cannot be read as pairs of prompts: {error}.") from error
    pairs = [(row["with"], row["without"]) for row in rows if row.get("with") and row.get("without") is not None]
    if not pairs:
        raise BadArgument(
            f"{one_line(str(path))} has no pair of prompts: write columns with and without, a pair a line."
        )
    return list(dict.fromkeys(pairs))
