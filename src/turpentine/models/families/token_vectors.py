"""Text encoders that read vectors in the place of their table's rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn


@contextmanager
def reading(encoder: Any, vectors: Float[Tensor, "batch token width"] | None) -> Iterator[None]:
    """Let a text encoder read vectors in the place of its table's rows inside a `with` block.

    The encoder is called with ids all the same, so that its causal mask and its end of the prompt are as ever.
    """
    if vectors is None:
        yield
        return

    def replace(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        scale = getattr(module, "embed_scale", None)  # Gemma's table multiplies its own rows
        return vectors.to(output) if scale is None else vectors.to(output) * scale.to(output)

    # T5 calls another module than the one that it names, with the same table.
    own = encoder.encoder.embed_tokens if hasattr(encoder, "shared") else encoder.get_input_embeddings()
    handle = own.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
