"""What attention to the text gives the picture, in two parts that sum to it: by values of the text, and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from turpentine.explain._rereading import layers_inside
from turpentine.models.call import Call
from turpentine.models.hooks import hooked
from turpentine.models.model import Model
from turpentine.models.sites import READS_TEXT, Sites

Added = Float[Tensor, "row token width"]
Add = Callable[[Call, Added, Added], None]
"""Takes a call, and what its picture's tokens owe to those values, and to the rest, on the prompts' rows."""


class ValueParts:
    """Computes modules of attention to the text once more without values of the text.

    With probabilities a_ij, values v_j and the matrix W_O of the output, what is missing then is Σ_j a_ij·W_O·v_j over
    those tokens j of the text, for a stays. The rest is the same sum over all other tokens, the bias of the output,
    and in the single blocks of FLUX.2 the feed-forward network, which is in the same module.

    Args:
        model: The model.
        modules: Of attention to the text; a window counts.
        add: Called after each of their calls.
        tokens: Of the text, for each picture; by default all.
    """

    def __init__(self, model: Model, modules: Sites, add: Add, tokens: Sequence[Sequence[int]] | None = None) -> None:
        self._model, self._modules, self._add, self._tokens = model, modules, add, tokens
        values = model.sites.only(kind=READS_TEXT, level="layer", role="value")
        self._values = layers_inside(values, tuple(modules))
        self._is_without = False

    @contextmanager
    def on(self) -> Iterator[None]:
        """Split what the model computes in a `with` block."""
        with hooked(self._model, {self._modules: self._split, self._values: self._leave_out}):
            yield

    def _split(self, call: Call) -> None:
        self._is_without = True
        try:
            without = replace(call, output=call.module.forward(*call.args, **call.kwargs))
        finally:
            self._is_without = False
        of_picture, _ = self._model.family.streams_at(call.site)
        rest = without.tensor[call.rows][:, of_picture].float()
        self._add(call, call.tensor[call.rows][:, of_picture].float() - rest, rest)

    def _leave_out(self, call: Call) -> Any:
        if not self._is_without:
            return None
        values = call.tensor.clone()
        _, of_text = self._model.family.streams_at(call.site)
        if self._tokens is None:
            values[:, of_text] = 0
        else:
            for row, tokens in zip(values[call.rows], self._tokens, strict=True):
                row[of_text][list(tokens)] = 0  # views, as slices are
        return call.with_tensor(values)
