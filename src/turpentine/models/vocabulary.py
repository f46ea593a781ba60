"""The tokens that all text encoders of a model share, for those who look for prompts token by token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.core.errors import BadArgument, UnsupportedModel

if TYPE_CHECKING:
    from turpentine.models.model import Model

_WORD_ENDS = "</w>"


class Vocabulary:
    """The ordinary tokens of a model, those that stand for text, and prompts made of them.

    Args:
        model: Its text encoders read one vocabulary, as SDXL's two do.

    Attributes:
        ids: Of all tokens but those for start, end and padding.

    Raises:
        UnsupportedModel: The encoders read different vocabularies, so that one token is not one for both.

    Example:
        >>> words = Vocabulary(model)
        >>> words.text(words.ids_of("a red church"))
        'a red church'
        >>> words.round_trips(words.ids_of("a red church"))
        True
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._tokenizer, *others = model.family.tokenizers.values()
        own = self._tokenizer.get_vocab()
        if any(other.get_vocab() != own for other in others):
            raise UnsupportedModel(
                f"{model.name} has text encoders of different vocabularies: no token means the same to all of them."
            )
        length = min(len(table) for table in model.family.token_tables().values())
        special = {each for every in model.family.tokenizers.values() for each in every.all_special_ids}
        self.ids: Int[Tensor, " token"] = torch.tensor([each for each in range(length) if each not in special])

    @cached_property
    def words(self) -> Int[Tensor, " word"]:
        """The tokens that are whole printable words: any row of them, typed as a text, becomes itself again."""
        pieces = self._tokenizer.convert_ids_to_tokens(self.ids.tolist())
        texts = {token: piece.removesuffix(_WORD_ENDS) for token, piece in zip(self.ids.tolist(), pieces, strict=True)}
        whole = [token for token, piece in zip(texts, pieces, strict=True) if piece.endswith(_WORD_ENDS)]
        likely = [token for token in whole if texts[token].isascii() and texts[token].isprintable() and texts[token]]
        if not likely:
            return self.ids[:0]
        typed = self._tokenizer([texts[token] for token in likely], add_special_tokens=False).input_ids
        return torch.tensor([token for token, ids in zip(likely, typed, strict=True) if ids == [token]])

    def tables(self, ids: Int[Tensor, " token"]) -> dict[str, Float[Tensor, "token width"]]:
        """Return by text encoder the vectors of tokens, in fp32, where the encoder is."""
        return {name: table[ids.to(table.device)].float() for name, table in self._model.family.token_tables().items()}

    def text(self, ids: Sequence[int]) -> str:
        """Return how tokens read as a text."""
        text: str = self._tokenizer.decode(list(ids))
        return text.strip()

    def ids_of(self, text: str) -> list[int]:
        """Return the tokens of a text, without start, end and padding."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids if text.strip() else []
        return ids

    def round_trips(self, ids: Sequence[int]) -> bool:
        """Return whether tokens, typed as a text, become themselves again."""
        return self.ids_of(self.text(ids)) == list(ids)

    def prompts(self, rows: Int[Tensor, "prompt token"]) -> dict[str, Int[Tensor, "prompt padded"]]:
        """Return rows of tokens as prompts by text encoder, with start, end and each encoder's own padding.

        Raises:
            BadArgument: They are longer than the model reads.
        """
        used = rows.shape[1] + 2
        if used > self._model.tokens:
            raise BadArgument(
                f"A prompt of {rows.shape[1]} tokens is {used} with start and end, and {self._model.name} reads "
                f"{self._model.tokens}: take {self._model.tokens - 2} or fewer."
            )
        result = {}
        for name, empty in self._model.family.tokenize([""]).items():
            whole = empty.cpu().long().repeat(len(rows), 1)  # start, end, padding
            end, padding = empty[0, 1].item(), empty[0, -1].item()
            whole[:, 1:] = int(padding)
            whole[:, 1 : used - 1] = rows
            whole[:, used - 1] = int(end)
            result[name] = whole
        return result
