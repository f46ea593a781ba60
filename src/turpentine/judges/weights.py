"""Digests of a judge's weights."""

from __future__ import annotations

from torch import nn

from turpentine.core.hashing import digest_bytes, digest_tensor


def weights_digest(code: str, *networks: nn.Module) -> str:
    """Return the SHA-256, in hex, of a judge's weights.

    Args:
        code: Revision of the judge's own code, which counts too.
        networks: Of which the names, dtypes, shapes and values of all weights count.
    """
    tensors = [pair for network in networks for pair in sorted(network.state_dict().items())]
    return digest_bytes("\n".join([code, *(f"{name} {digest_tensor(tensor)}" for name, tensor in tensors)]).encode())
