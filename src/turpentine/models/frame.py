"""What a text encoder reads around a prompt: a chat or an instruction, and padding before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Frame:
    """What a text encoder reads around a prompt, such as a chat's template; special tokens are written out in it.

    Args:
        before: The text before. A blank one makes the first word begin as those inside of a text do.
        after: The text after.
        dropped: What is taken out of prompts, such as a token that stands for a picture.

    Example:
        >>> Frame("User: ", ".").put_around("a church")
        'User: a church.'
    """

    before: str = ""
    after: str = ""
    dropped: str = ""

    def inside(self, prompt: str) -> str:
        """Return what is read of a prompt."""
        return prompt.replace(self.dropped, "") if self.dropped else prompt

    def put_around(self, prompt: str) -> str:
        """Return a prompt as its encoder reads it. A blank text is not put before an empty prompt."""
        inside = self.inside(prompt)
        return f"{self.before if inside or self.before.strip() else ''}{inside}{self.after}"

    def around(self, tokenizer: Any) -> tuple[list[int], list[int]]:
        """Return the tokens before any prompt, and those after it, a tokenizer's own start and end among them."""
        empty, one = (tokenizer(self.put_around(text)).input_ids for text in ("", "a"))
        start, end = _shared(empty, one), _shared(empty[::-1], one[::-1])
        return one[:start], one[len(one) - end :]


NO_FRAME = Frame()


def padding_before(tokenizer: Any, count: int, length: int) -> int:
    """Return how many tokens of padding stand before a prompt: all that it has where its tokenizer pads on the left.

    Args:
        tokenizer: A text encoder's.
        count: Tokens of the prompt, with what is around it.
        length: Of the padded prompt.
    """
    return max(length - count, 0) if tokenizer.padding_side == "left" else 0


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return with how many equal tokens two rows begin."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)
