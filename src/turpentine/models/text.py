"""How a model reads prompts: where words are among the tokens, what is cut off, and which words it cannot read."""

from __future__ import annotations

import re
import threading
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import punctuation
from textwrap import shorten
from typing import Any

from jaxtyping import Int
from torch import Tensor

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.safe_text import check_text
from turpentine.models.frame import NO_FRAME, Frame, padding_before

_MARKS = re.compile("</w>|▁|Ġ")
"""How the vocabularies of CLIP, of T5 and Gemma, and of Qwen mark the space between words."""

_ALONE = threading.RLock()
"""Held while a tokenizer reads: it keeps how its last call padded, and another thread's call in between would take that
away, as where the studio's page asks for unknown words while a picture is drawn."""

_NAMED = 60
"""Characters of a prompt by which a warning names it."""

_SPACE = "▁"
"""The token of a word's beginning in T5's vocabulary, which stands for nothing by itself."""


def in_full(tokenizer: Any, prompt: str) -> str:
    """Return a prompt with all vectors of textual inversion written out, as diffusers' pipelines read it.

    A token `<cat>` of several vectors (Gal et al. 2022, arXiv 2208.01618) is in the vocabulary as `<cat>`, `<cat>_1`,
    and so on, and in a prompt as `<cat>` alone.
    """
    added = tokenizer.added_tokens_encoder
    if not any(f"{token}_1" in added and token in prompt for token in added):
        return prompt
    check_text(prompt, "The prompt")
    # Each token that the tokenizer itself sees there: of `<cat>_1` that is no `<cat>`.
    for token in dict.fromkeys(tokenizer.tokenize(prompt, verbose=False)):
        if f"{token}_1" not in added or token not in added:
            continue
        vectors = [token]
        while f"{token}_{len(vectors)}" in added:
            vectors.append(f"{token}_{len(vectors)}")
        prompt = prompt.replace(token, " ".join(vectors))
    return prompt


def added_words(tokenizer: Any) -> list[str]:
    """Return the words that were added to a vocabulary, without the special tokens."""
    return [word for word in tokenizer.added_tokens_encoder if word not in tokenizer.all_special_tokens]


def tokenize(
    tokenizer: Any, prompts: Sequence[str], length: int, frame: Frame = NO_FRAME
) -> Int[Tensor, "batch token"]:
    """Return token ids, padded and cut to `length`, with a warning for each prompt that is cut.

    Raises:
        BadArgument: A prompt is no valid Unicode.
    """
    for prompt in prompts:
        check_text(prompt, "The prompt")
        with _ALONE:
            used = len(tokenizer(frame.put_around(in_full(tokenizer, prompt)), verbose=False).input_ids)
        if used > length:
            named = shorten(prompt, _NAMED, placeholder=" ...")
            warnings.warn(f"The prompt {named!r} has {used} tokens: the model reads the first {length}.", stacklevel=3)
    texts = [frame.put_around(in_full(tokenizer, prompt)) for prompt in prompts]
    with _ALONE:
        padded = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    ids: Tensor = padded.input_ids
    return ids


def check_fits(tokenizer: Any, prompt: str, length: int, called: str = "The prompt", frame: Frame = NO_FRAME) -> None:
    """Check that a prompt fits into `length` tokens.

    Args:
        tokenizer: A text encoder's.
        prompt: The text.
        length: In tokens, start and end included.
        called: The prompt's name in the message.
        frame: What is read around it.

    Raises:
        BadArgument: The prompt would be cut; the message quotes the text that would be lost.
    """
    check_text(prompt, called)
    inside = frame.inside(in_full(tokenizer, prompt))
    pieces = tokenizer.tokenize(inside, verbose=False)  # of its own length, it would warn
    special = sum(map(len, frame.around(tokenizer)))
    if len(pieces) + special > length:
        lost = _MARKS.sub(" ", "".join(pieces[length - special :])).strip()
        raise BadArgument(
            f"{called} has {len(pieces) + special} tokens and the model reads {length}: {lost!r} would be cut off."
        )


def words_inside(tokenizer: Any, text: str, before: str) -> list[int]:
    """Return the tokens of a part of a prompt without what is around it.

    Args:
        tokenizer: A text encoder's.
        text: The words.
        before: What is before them: after a space, some tokenizers spell a word anew.
    """
    part = f"{' ' if before.isspace() else ''}{text.strip()}"
    ids: list[int] = tokenizer(part, add_special_tokens=False).input_ids if text.strip() else []
    return ids


def bare(words: str) -> str:
    """Return words without the punctuation around them; punctuation alone is left as it is.

    Example:
        >>> bare("(church),"), bare("...")
        ('church', '...')
    """
    return words.strip(punctuation) or words


def words_of(text: str) -> list[str]:
    """Return each word of a text once, without the punctuation around it; punctuation alone is no word.

    Words that differ in capitals only are one, spelt as the first of them.

    Example:
        >>> words_of("A church, and a dog -- a Dog.")
        ['A', 'church', 'and', 'dog']
    """
    words: dict[str, str] = {}
    for word in filter(None, (word.strip(punctuation) for word in text.split())):
        words.setdefault(word.lower(), word)
    return list(words.values())


def reworded(prompt: str, words: str, others: str) -> str:
    """Return the prompt with every occurrence of some words replaced by others, whatever the capitals.

    Raises:
        EmptyConcept: The words are not in the prompt, or only as a part of longer ones.

    Example:
        >>> reworded("A Church by a church", "church", "dog")
        'A dog by a dog'
    """
    result, times = re.subn(_whole(words), lambda _: others, prompt, flags=re.IGNORECASE) if words.strip() else ("", 0)
    if not times:
        raise EmptyConcept(f"{words!r} is not in the prompt {prompt!r} in whole words: write it there in the same.")
    return result


def mentions(prompt: str, words: str) -> bool:
    """Return whether some words are in a prompt, in this order and whole, whatever the capitals.

    Example:
        >>> mentions("A Golf  flag, red", "golf flag"), mentions("a churchyard", "church")
        (True, False)
    """
    return bool(words.strip()) and re.search(_whole(words), prompt, flags=re.IGNORECASE) is not None


def _whole(words: str) -> str:
    """Return the pattern of whole words."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    return rf"(?<!\w){pattern}(?!\w)"


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Return the words of a text, in order, each once, that the tokenizer can only spell, mostly letter by letter.

    Raises:
        BadArgument: The text is no valid Unicode.
    """
    check_text(text, "The prompt")
    return [word for word in dict.fromkeys(_parts(text)) if _is_unknown(tokenizer, word)]


def _parts(text: str) -> list[str]:
    """Return the parts of a text between spaces and punctuation, which no word is unknown for: "dog's" is two."""
    return "".join(" " if _is_punctuation(char) else char for char in text).split()


def _is_punctuation(char: str) -> bool:
    return char in punctuation or unicodedata.category(char).startswith("P")


def _is_unknown(tokenizer: Any, word: str) -> bool:
    """Return whether a word has the token for unknown text, or at least half of its tokens are single characters.

    A byte-pair vocabulary can spell any word letter by letter; it has longer pieces of the words that it was made from.
    """
    with _ALONE:
        pieces = tokenizer.tokenize(f" {word}")  # as it is inside of a text
    if tokenizer.unk_token in pieces:
        return True
    letters = [piece for piece in pieces if len(piece.removesuffix("</w>")) == 1]
    return len(pieces) > 1 and 2 * len(letters) >= len(pieces)


@dataclass(frozen=True)
class Places:
    """Where the parts of a prompt are among its tokens, which are counted from 0, the start token.

    Args:
        subject: The subject's tokens.
        end: The end token.
        length: Tokens in all, padding included.
        padding: Tokens of padding before the prompt.
    """

    subject: range
    end: int
    length: int
    padding: int = 0

    @property
    def last(self) -> int:
        """The subject's last token, the first whose state has read all of the subject."""
        return self.subject[-1]

    @property
    def tail(self) -> range:
        """The subject's last token and all that follow, the end and the padding among them."""
        return range(self.last, self.length)


def find_subject(
    tokenizer: Any, prompt: str, subject: str | None = None, *, length: int, frame: Frame = NO_FRAME
) -> Places:
    """Return where a subject is in a prompt that is padded or cut to `length` tokens.

    Args:
        tokenizer: A text encoder's.
        prompt: The text.
        subject: Words of the prompt, whatever the capitals; their last occurrence counts. None is the whole prompt, and
            of an empty one the start token, the only one before its end, or where there is no start token its end.
        length: In tokens, start and end included.
        frame: What is read around it.

    Raises:
        EmptyConcept: The subject is not in the prompt, or behind the place where it is cut, or the tokenizer has no
            token for it.
    """
    check_text(prompt, "The prompt")
    _, start, end, padding = _around(tokenizer, prompt, length, frame)
    if subject is None:
        first = max(min(start, end - 1), 0)
        places = range(first, max(end, first + 1))
    else:
        places = find_all(tokenizer, prompt, subject, length=length, frame=frame)[-1]
    return Places(places, end, length, padding)


def find_all(tokenizer: Any, prompt: str, subject: str, *, length: int, frame: Frame = NO_FRAME) -> list[range]:
    """Return the tokens of every occurrence of a subject in a prompt, one at least.

    Raises:
        EmptyConcept: As `find_subject`.
    """
    check_text(prompt, "The prompt")
    ids, start, end, _ = _around(tokenizer, prompt, length, frame)
    places: dict[int, range] = {}
    for own in _spellings(tokenizer, subject):
        starts = [at for at in range(start, end - len(own) + 1) if ids[at : at + len(own)] == own]
        places |= {at + len(own): range(at, at + len(own)) for at in starts}
    if not places:
        raise EmptyConcept(
            f"{subject!r} is not in the first {length} tokens of the prompt {prompt!r}: "
            "write it there in the same words, or give other templates."
        )
    return [places[last] for last in sorted(places)]


def _around(tokenizer: Any, prompt: str, length: int, frame: Frame) -> tuple[list[int], int, int, int]:
    """Return a prompt's tokens with the padding before them, the place of its first word, that of the first token
    behind its words, and how much padding that is.

    CLIP has a start token and an end token; T5 has no start, and Gemma no end, whose place is the padding's first.
    """
    own: list[int] = tokenizer(frame.put_around(in_full(tokenizer, prompt))).input_ids
    start, end = map(len, frame.around(tokenizer))
    padding = padding_before(tokenizer, len(own), length)
    ids = [tokenizer.pad_token_id] * padding + own
    return ids, padding + start, max(min(len(ids) - end, length - 1), 0), padding


def _spellings(tokenizer: Any, subject: str) -> list[list[int]]:
    """Return the subject's own tokens as it begins a text, and as it stands inside of one, where some spell it anew."""
    first = subject_ids(tokenizer, subject)
    inside: list[int] = tokenizer(f" {in_full(tokenizer, subject)}", add_special_tokens=False).input_ids
    return [first, inside]


def subject_ids(tokenizer: Any, subject: str) -> list[int]:
    """Return the subject's own tokens.

    Raises:
        EmptyConcept: There is none but the token that stands for all unknown text.
    """
    if not subject.strip():
        raise EmptyConcept("The concept or word is empty: give the word or words that name it.")
    check_text(subject, "The word")
    ids: list[int] = tokenizer(in_full(tokenizer, subject), add_special_tokens=False).input_ids
    if set(ids) <= {tokenizer.unk_token_id, tokenizer.convert_tokens_to_ids(_SPACE)}:
        raise EmptyConcept(f"The tokenizer has no token for {subject!r}: name the concept in other words.")
    return ids


@dataclass(frozen=True, eq=False)
class PromptReader:
    """How a model reads prompts; `model.text` is one.

    Args:
        tokenizers: By text encoder, as the component of its sites: "text", and "text-2" where there are two. The first
            is used where none is named.
        length: Tokens of a padded prompt, start and end included.
        frame: What the encoders read around it.

    Example:
        >>> import turpentine as tp
        >>> model = tp.load()
        >>> places = model.text.find("a red church", "church")
        >>> list(places.subject), places.end
        ([3], 4)
    """

    tokenizers: Mapping[str, Any]
    length: int
    frame: Frame = NO_FRAME

    def find(self, prompt: str, subject: str | None = None, *, encoder: str | None = None) -> Places:
        """Return where a subject is in a prompt; see `find_subject`."""
        return find_subject(self._tokenizer(encoder), prompt, subject, length=self.length, frame=self.frame)

    def find_all(self, prompt: str, subject: str) -> list[range]:
        """Return the tokens of every occurrence of a subject in a prompt; see `find_all`."""
        return find_all(self._tokenizer(), prompt, subject, length=self.length, frame=self.frame)

    def check_fits(self, prompt: str, called: str = "The prompt") -> None:
        """Check that a prompt is not too long.

        Args:
            prompt: The text.
            called: Its name in the message.

        Raises:
            BadArgument: The prompt would be cut.
        """
        check_fits(self._tokenizer(), prompt, self.length, called, self.frame)

    def check_words(self, words: str) -> None:
        """Check that the tokenizer can read words.

        Raises:
            EmptyConcept: It has no token for them, not even for their letters.
        """
        subject_ids(self._tokenizer(), words)

    def unknown_words(self, text: str) -> list[str]:
        """Return the words that the tokenizer can only spell, in whole or in large part, letter by letter.

        All of them where there is no tokenizer.
        """
        tokenizer = self._tokenizer()
        return unknown_words(tokenizer, text) if tokenizer is not None else list(dict.fromkeys(text.split()))

    @property
    def added_words(self) -> list[str]:
        """Words that were added to the vocabulary, such as those of textual inversion."""
        return sorted({word for one in self.tokenizers.values() if one is not None for word in added_words(one)})

    def _tokenizer(self, encoder: str | None = None) -> Any:
        return next(iter(self.tokenizers.values())) if encoder is None else self.tokenizers[encoder]
