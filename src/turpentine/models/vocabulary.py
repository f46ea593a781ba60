"""The tokens that all text encoders of a model share, for those who look for prompts token by token."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.models.frame import padding_before
from turpentine.models.text import words_inside

if TYPE_CHECKING:
    from turpentine.models.model import Model

_WORD_ENDS = "</w>"
_WORD_BEGINS = ("▁", "Ġ")
"""How a vocabulary marks words: CLIP's where they end, those of T5, Gemma and Qwen where they begin."""


class Vocabulary:
    """The ordinary tokens of a model, those that stand for text, and prompts made of them.

    Args:
        model: Its text encoders read one vocabulary, as SDXL's two do.

    Attributes:
        ids: Of all tokens but those for start, end and padding.
        room: How many tokens a prompt's words may take.

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
                f"{model.family.title} has text encoders of different vocabularies, and no token means the same to all."
            )
        self._start, self._end = model.family.frame.around(self._tokenizer)
        self.room = model.tokens - len(self._start) - len(self._end)
        length = min(len(table) for table in model.family.token_tables().values())
        special = {each for every in model.family.tokenizers.values() for each in every.all_special_ids}
        self.ids: Int[Tensor, " token"] = torch.tensor([each for each in range(length) if each not in special])

    @cached_property
    def words(self) -> Int[Tensor, " word"]:
        """The tokens that are whole printable words: any row of them, typed as a text, becomes itself again."""
        pieces = self._tokenizer.convert_ids_to_tokens(self.ids.tolist())
        texts = {token: text for token, piece in zip(self.ids.tolist(), pieces, strict=True) if (text := _word(piece))}
        likely = [token for token, text in texts.items() if text.isascii() and text.isprintable()]
        if not likely:
            return self.ids[:0]
        typed = self._tokenizer([f" {texts[token]}" for token in likely], add_special_tokens=False).input_ids
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
        return words_inside(self._tokenizer, text, self._model.family.frame.before)

    def places(self, count: int) -> range:
        """Return where the words of a prompt of so many tokens are among those of the padded prompt."""
        whole = len(self._start) + count + len(self._end)
        first = padding_before(self._tokenizer, whole, self._model.tokens) + len(self._start)
        return range(first, first + count)

    def summed_at(self, end: int) -> int:
        """Return the place of the token that has read a whole prompt: its end, or where there is none its last word."""
        return end if self._end else max(end - 1, 0)

    def round_trips(self, ids: Sequence[int]) -> bool:
        """Return whether tokens, typed as a text, become themselves again."""
        return self.ids_of(self.text(ids)) == list(ids)

    def prompts(self, rows: Int[Tensor, "prompt token"]) -> dict[str, Int[Tensor, "prompt padded"]]:
        """Return rows of tokens as prompts by text encoder, with start, end and each encoder's own padding.

        Raises:
            BadArgument: They are longer than the model reads.
        """
        count, start, end = rows.shape[1], torch.tensor(self._start), torch.tensor(self._end)
        if count > self.room:
            raise BadArgument(
                f"A prompt of {count} tokens is {count + self._model.tokens - self.room} with what is around it, and "
                f"{self._model.name} reads {self._model.tokens}: take {self.room} or fewer."
            )
        result, places = {}, self.places(count)
        for name, empty in self._model.family.tokenize([""]).items():
            padding = empty[:, :1] if places.start > len(start) else empty[:, -1:]
            whole = padding.cpu().long().repeat(len(rows), empty.shape[1])
            whole[:, places.start - len(start) : places.start] = start
            whole[:, places.start : places.stop] = rows
            whole[:, places.stop : places.stop + len(end)] = end
            result[name] = whole
        return result


def _word(piece: str) -> str:
    """Return the word that a token stands for, "" for a part of one."""
    if piece.startswith(_WORD_BEGINS):
        return piece[1:]
    return piece.removesuffix(_WORD_ENDS) if piece.endswith(_WORD_ENDS) else ""
