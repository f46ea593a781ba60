"""What families have in common whose transformer reads one text by cross-attention: PixArt and SANA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from turpentine.models.attention import probabilities
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.base import Probabilities, TokenIds
from turpentine.models.families.transformer import Transformer
from turpentine.models.sites import Sites

_MASKED = -10000.0
"""What their networks add to the agreement with padding."""


class CrossTransformer(Transformer):
    """A transformer whose blocks' `attn2` reads the text as it is projected before the first block, without padding.

    Prompts are read in lower case, without spaces around them, as the pipelines read them; what these make of links and
    marks in a caption (`clean_caption`) is left as it is. The picture's size is not moved to the nearest one that the
    network was trained on.
    """

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts in lower case."""
        return super().tokenize([prompt.lower().strip() for prompt in prompts])

    def readers(self) -> Mapping[str, Sites]:
        """Return the keys and values of cross-attention."""
        return {"hidden": self.sites().only(kind="cross-attention", level="layer", role=("key", "value"))}

    def attention(self, call: Call) -> Probabilities:
        """Yield the probabilities of `attn2`; padding has none. See `Family.attention`."""
        pixels = call.args[0] if call.args else call.kwargs["hidden_states"]
        text, bias = call.kwargs["encoder_hidden_states"], call.kwargs["attention_mask"]
        return probabilities(call.module, pixels[call.rows], text[call.rows], None if bias is None else bias[call.rows])

    def with_text(self, call: Call, cond: Conditioning) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of `attn2` with another text, and its mask, on the call's own rows."""
        hidden, bias = (call.kwargs[name].clone() for name in ("encoder_hidden_states", "attention_mask"))
        assert cond.mask is not None  # its own has it
        hidden[call.rows] = self.as_read(cond, "hidden").to(hidden)
        bias[call.rows] = ((1 - cond.mask.to(bias)) * _MASKED)[:, None]
        return call.args, {**call.kwargs, "encoder_hidden_states": hidden, "attention_mask": bias}
