"""The pictures of a bench, and the batches that they are drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from turpentine.core.hashing import digest
from turpentine.runs.specs import DrawSpec, Pair


@dataclass(frozen=True)
class Item:
    """One picture.

    Attributes:
        draw_spec: Digest of what draws it.
        prompt: Of the picture.
        seed: Of the picture.
    """

    draw_spec: str
    prompt: str
    seed: int

    @property
    def key(self) -> str:
        """SHA-256 of the three."""
        return digest([self.draw_spec, self.prompt, self.seed])


@dataclass(frozen=True)
class Batch:
    """Pictures that are always drawn together: the unit that is leased, drawn, judged and written.

    What a network computes depends, in its last bits, on how rows are batched; so batches are fixed when the work is
    planned, and are drawn whole also if a part of one is there.

    Attributes:
        draw_spec: What draws them.
        pairs: Prompt and seed of each.
    """

    draw_spec: DrawSpec
    pairs: tuple[Pair, ...]

    @cached_property
    def key(self) -> str:
        """SHA-256 of the draw spec, and of the prompts and seeds in their order."""
        return digest([self.draw_spec.digest, self.pairs])

    @property
    def items(self) -> list[Item]:
        """Its pictures."""
        return [Item(self.draw_spec.digest, *pair) for pair in self.pairs]

    @property
    def singles(self) -> list[Batch]:
        """Each picture as a batch of its own."""
        return [Batch(self.draw_spec, (pair,)) for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)
