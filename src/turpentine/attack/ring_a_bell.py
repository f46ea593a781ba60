"""Ring-A-Bell: a genetic search for words that the text encoder reads as the concept's prompt, and more of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import annotated_types as at

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import one_line
from turpentine.core.settings import Count, Finite, Fraction, Text

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


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
        return Spent(text=self.population + self.generations * self.children)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first generation spends, of which some may be equal."""
        return Spent(text=1 + self.children)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Breed; each stage has the best words until then."""
        from turpentine.attack._breeder import Breeder
        from turpentine.attack._learning import stage_end

        with search.meter.repeating(state is not None):
            breeder = Breeder(self, search)
        with search.victim.on():
            breeder.begin(state)
        while breeder.done < self.generations and search.meter.affords(text=self.children):
            until = stage_end(self.generations, self.stages, breeder.done)
            with search.victim.on():
                while breeder.done < until and search.meter.affords(text=self.children):
                    breeder.breed()
                    search.advance(breeder.done, self.generations)
            yield breeder.stage()

    @property
    def children(self) -> int:
        """Of a generation."""
        return self.population - self.population // 2

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
