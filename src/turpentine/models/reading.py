"""What the denoiser's first layers read of a prompt: its encoders' tokens, and in some families a pooled vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from turpentine.models.conditioning import Conditioning
from turpentine.models.text import Places, PromptReader

if TYPE_CHECKING:
    from turpentine.models.model import Model


def prompt_tokens(model: Model, prompt: str) -> list[int]:
    """Return the places of a prompt's own tokens among all that the denoiser reads, of each encoder that it has.

    Start, end and padding are none of them; of a prompt without words it is what `find_subject` has for one.

    Args:
        model: The model.
        prompt: The text.
    """
    tokens = [each for each in model.readings if each.what == "hidden"]
    return [each.start + token for each in tokens for token in each.find(prompt).subject]


@dataclass(frozen=True)
class Reading:
    """A part of the text as layers read it; `model.readings` has all of a model's.

    Args:
        what: By which of `Family.readers` it is read: "hidden" or "pooled".
        text: The reader of the encoder whose tokens they are; None for the pooled vector, which counts as one token.
        start: Where its first token is among all.

    Example:
        >>> import turpentine as tp
        >>> model = tp.load()
        >>> (tokens,) = model.readings
        >>> tokens.states(model, model.encode(["a church"])).shape
        torch.Size([1, 32, 160])
    """

    what: str
    text: PromptReader | None
    start: int = 0

    def find(self, prompt: str, subject: str | None = None) -> Places:
        """Return where a subject is among its tokens; see `find_subject`."""
        return Places(range(1), 0, 1) if self.text is None else self.text.find(prompt, subject)

    def states(self, model: Model, cond: Conditioning) -> Float[Tensor, "batch token width"]:
        """Return what the layers read of encoded prompts."""
        states = model.family.as_read(cond, self.what)
        return states[:, None] if self.text is None else states[:, self.start : self.start + self.text.length]
