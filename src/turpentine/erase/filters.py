"""Filters around a model, which change nothing that it computes: of prompts by their words, of pictures by what they
show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.concepts import Concept
from turpentine.core.settings import Finite, Text
from turpentine.erase._at_inference import AtInference
from turpentine.erase.common import Sized

if TYPE_CHECKING:
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor

    from turpentine.judges.towers import Towers
    from turpentine.models import Combination, Guidance
    from turpentine.models.interface import TextToImage


@dataclass(frozen=True)
class PromptFilter(AtInference):
    """Draw nothing of prompts that name the concept: a black picture stands for each.

    The filter that services put before a model, by a list of words. It is no erasure: whoever names the concept
    otherwise, or runs the model without the filter, has it. Words are compared whole and whatever the capitals. A
    learned word or latents go past it, for no text names them.

    Args:
        words: What a prompt must not hold, each a word or several in a row; by default each concept's own.

    Example:
        >>> change = PromptFilter()(model, Concept("church"))
        >>> with change.on(model):
        ...     church, dog = model.generate(["a Church", "a dog"], seeds=0, steps=1)
        >>> church.getbbox() is None, dog.getbbox() is None
        (True, False)
    """

    name: ClassVar[str] = "prompt-filter"

    words: tuple[Text, ...] = ()

    def guidance(self, concepts: Sequence[Concept]) -> Guidance:
        """Return the filter, which is for every model."""
        return _WordList(self.words or tuple(concept.text for concept in concepts))


@dataclass(frozen=True)
class PictureFilter(Sized, AtInference):
    """Withhold pictures that are like the concept: a black one stands for each.

    A picture is withheld where the cosine of its vector and that of one of the concept's prompts, by a pair of towers,
    is the threshold or more. So does Stable Diffusion's safety checker with seventeen concepts and a threshold for each
    (red-teamed by Rando et al. 2022, arXiv 2210.04610). It is no erasure: whoever has the model runs it without.

    Args:
        threshold: From which cosine on a picture is withheld. Towers differ in what is much: CLIP's pictures of what
            their text says have about 0.3.
        towers: "emoji", the embedded world's; or a CLIP model's folder or hub id.
        text: What pictures are held against; by default the prompts of each concept.

    Example:
        >>> change = PictureFilter(threshold=-1.0, towers="emoji")(model, Concept("church"))
        >>> with change.on(model):
        ...     [picture.getbbox() for picture in model.generate("a dog", seeds=0, steps=1)]
        [None]
    """

    name: ClassVar[str] = "picture-filter"
    small_world: ClassVar[Mapping[str, Any]] = {"threshold": 0.5, "towers": "emoji"}

    threshold: Finite = 0.25
    towers: Text = "openai/clip-vit-base-patch32"
    text: Text | None = None

    def guidance(self, concepts: Sequence[Concept]) -> Guidance:
        """Return the filter, which is for every model; nothing is read yet."""
        texts = (self.text,) if self.text else tuple(text for concept in concepts for text in concept.prompts)
        return _LikenessLimit(texts, self.threshold, self.towers)


class _Passive:
    """What a filter does with predictions: nothing."""

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        from turpentine.models.guidance import unguided

        return unguided(model, guidance_scale)


@dataclass(frozen=True)
class _WordList(_Passive):
    words: tuple[str, ...]

    def refuses(self, prompts: Sequence[str]) -> list[bool]:
        from turpentine.models.text import mentions

        return [any(mentions(prompt, words) for words in self.words) for prompt in prompts]

    def withholds(self, pictures: Sequence[Image.Image]) -> list[bool]:
        return [False] * len(pictures)


@dataclass(frozen=True)
class _LikenessLimit(_Passive):
    texts: tuple[str, ...]
    threshold: float
    towers: str

    def refuses(self, prompts: Sequence[str]) -> list[bool]:
        return [False] * len(prompts)

    def withholds(self, pictures: Sequence[Image.Image]) -> list[bool]:
        cosines = self._towers.vectors(pictures) @ self._concepts.T
        withheld: list[bool] = (cosines.amax(1) >= self.threshold).tolist()
        return withheld

    @cached_property
    def _towers(self) -> Towers:
        from turpentine.judges.towers import towers

        return towers(self.towers)

    @cached_property
    def _concepts(self) -> Float[Tensor, "text feature"]:
        return self._towers.of_texts(self.texts)
