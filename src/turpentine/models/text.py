"""How a model reads prompts: where words are among the tokens, what is cut off, and which words are not known."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import punctuation
from typing import Any

from jaxtyping import Int
from torch import Tensor

from turpentine.core.errors import BadArgument, EmptyConcept


def tokenize(tokenizer: Any, prompts: Sequence[str], length: int) -> Int[Tensor, "batch token"]:
    """Token ids, padded and cut to `length`; a prompt that is cut is warned of."""
    for prompt in prompts:
        used = len(tokenizer.tokenize(prompt, verbose=False)) + 2  # with start and end
        if used > length:
            warnings.warn(f"The prompt {prompt!r} has {used} tokens: the model reads the first {length}.", stacklevel=3)
    padded = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: Tensor = padded.input_ids
    return ids


def check_fits(tokenizer: Any, prompt: str, length: int, called: str = "The prompt") -> None:
    """Raises BadArgument for a prompt that would be cut to `length` tokens, and says what of it is lost.

    called: what the message names it.
    """
    pieces = tokenizer.tokenize(prompt, verbose=False)  # of its own length, it would warn
    if len(pieces) + 2 > length:
        lost = "".join(pieces[length - 2 :]).replace("</w>", " ").strip()
        raise BadArgument(
            f"{called} has {len(pieces) + 2} tokens and the model reads {length}: {lost!r} would be cut off."
        )


def bare(words: str) -> str:
    """Words without the punctuation around them; punctuation alone as it is."""
    return words.strip(punctuation) or words


def words_of(text: str) -> list[str]:
    """Each word of a text once, as it is spelt first, without the punctuation around it; punctuation alone is none."""
    found: dict[str, str] = {}
    for word in filter(None, (word.strip(punctuation) for word in text.split())):
        found.setdefault(word.lower(), word)
    return list(found.values())


def reworded(prompt: str, words: str, others: str) -> str:
    """The prompt with others in the place of some words, wherever these are in it, capitals or not.

    Raises EmptyConcept for words that are not in it, or only as a part of longer ones.
    """
    wanted = r"\s+".join(map(re.escape, words.split()))
    found, times = re.subn(rf"(?<!\w){wanted}(?!\w)", lambda _: others, prompt, flags=re.IGNORECASE)
    if not wanted or not times:
        raise EmptyConcept(f"{words!r} is not in the prompt {prompt!r} in whole words: write it there in the same.")
    return found


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """The words of `text`, in order, each once, that the tokenizer has no piece of any size for."""
    return [word for word in dict.fromkeys(text.split()) if _is_unknown(tokenizer, word)]


def _is_unknown(tokenizer: Any, word: str) -> bool:
    """A token for unknown text, or a word of which at least half the tokens are single characters.

    A byte-pair vocabulary can spell any word letter by letter; it has longer pieces of the words that it was made from.
    """
    pieces = tokenizer.tokenize(word)
    if tokenizer.unk_token in pieces:
        return True
    letters = [piece for piece in pieces if len(piece.removesuffix("</w>")) == 1]
    return len(pieces) > 1 and 2 * len(letters) >= len(pieces)


@dataclass(frozen=True)
class Places:
    """Where the parts of a prompt are among its tokens, which are counted from 0, the start token.

    subject: the subject's tokens. end: the end token. length: tokens in all, padding included.
    """

    subject: range
    end: int
    length: int

    @property
    def last(self) -> int:
        """The subject's last token, the first whose state has read all of the subject."""
        return self.subject[-1]

    @property
    def tail(self) -> range:
        """The subject's last token and all that follow, the end and the padding among them."""
        return range(self.last, self.length)


def find_subject(tokenizer: Any, prompt: str, subject: str | None = None, *, length: int) -> Places:
    """Where a subject is in a prompt that is padded or cut to `length` tokens.

    subject: words of the prompt, capitals or not; the last time that they are in it counts. None is the whole prompt,
        and of an empty one the start token, all that there is before its end.
    Raises EmptyConcept for a subject that is not in the prompt, that the prompt is cut off before, or that the
    tokenizer has no token for.
    """
    ids = tokenizer(prompt).input_ids
    end = min(len(ids), length) - 1
    if subject is None:
        return Places(range(min(1, end - 1), end), end, length)
    return Places(find_all(tokenizer, prompt, subject, length=length)[-1], end, length)


def find_all(tokenizer: Any, prompt: str, subject: str, *, length: int) -> list[range]:
    """The tokens of a subject each time that it is in a prompt, once at least. Raises as `find_subject` does."""
    ids = tokenizer(prompt).input_ids
    end = min(len(ids), length) - 1
    wanted = subject_ids(tokenizer, subject)
    starts = [at for at in range(1, end - len(wanted) + 1) if ids[at : at + len(wanted)] == wanted]
    if not starts:
        raise EmptyConcept(
            f"The subject {subject!r} is not in the first {length} tokens of the prompt {prompt!r}: "
            "write it there in the same words, or give other templates."
        )
    return [range(at, at + len(wanted)) for at in starts]


def subject_ids(tokenizer: Any, subject: str) -> list[int]:
    """The subject's own tokens. Raises EmptyConcept for none: one and the same stands for all that is not known."""
    if not subject.strip():
        raise EmptyConcept("The concept or word is empty: give the word or words that name it.")
    ids: list[int] = tokenizer(subject, add_special_tokens=False).input_ids
    if set(ids) <= {tokenizer.unk_token_id}:
        raise EmptyConcept(f"The tokenizer has no token for {subject!r}: name the concept in other words.")
    return ids


@dataclass(frozen=True, eq=False)
class PromptReader:
    """How a model reads prompts; `model.text` is one.

    Args:
        tokenizers: by text encoder, as the component of its sites: "text", and "text-2" where there are two. The first
            is used where none is named.
        length: tokens of a padded prompt, start and end included.

    Example:
        >>> import turpentine as tp
        >>> model = tp.load()
        >>> places = model.text.find("a red church", "church")
        >>> list(places.subject), places.end
        ([3], 4)
    """

    tokenizers: Mapping[str, Any]
    length: int

    def find(self, prompt: str, subject: str | None = None, *, encoder: str | None = None) -> Places:
        """Return where a subject is in a prompt; see `find_subject`."""
        return find_subject(self._tokenizer(encoder), prompt, subject, length=self.length)

    def find_all(self, prompt: str, subject: str) -> list[range]:
        """Return the tokens of a subject each time that it is in a prompt; see `find_all`."""
        return find_all(self._tokenizer(), prompt, subject, length=self.length)

    def check_fits(self, prompt: str, called: str = "The prompt") -> None:
        """Raise BadArgument for a prompt that would be cut off; `called` is what the message names it."""
        check_fits(self._tokenizer(), prompt, self.length, called)

    def check_known(self, words: str) -> None:
        """Raise EmptyConcept for words that the tokenizer has no token for, not even for their letters."""
        subject_ids(self._tokenizer(), words)

    def unknown_words(self, text: str) -> list[str]:
        """Return the words that the tokenizer can only spell, in whole or in large part, letter by letter."""
        return unknown_words(self._tokenizer(), text)

    def _tokenizer(self, encoder: str | None = None) -> Any:
        return next(iter(self.tokenizers.values())) if encoder is None else self.tokenizers[encoder]
