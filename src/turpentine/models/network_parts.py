"""The modules and weights of a network, walked once; torch's own walks ask each module several times over.

Before each call all of them are looked at, for what somebody put on them since, so the walk has to be quick.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn


def named_parts(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module of a network once, with its path and a dot behind it, in the order of `named_modules`.

    Args:
        network: Any.

    Example:
        >>> [path for path, part in named_parts(nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU())))]
        ['', '0.', '1.', '1.0.']
    """
    seen, left = set(), [("", network)]
    while left:
        path, part = left.pop()
        if part in seen:
            continue
        seen.add(part)
        yield path, part
        inside = [(f"{path}{name}.", each) for name, each in vars(part)["_modules"].items() if each is not None]
        left += reversed(inside)


def named_weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter of a network once, with its dotted name, as `named_parameters` does.

    Args:
        network: Any.
    """
    seen = set()
    for path, part in named_parts(network):
        for name, weight in vars(part)["_parameters"].items():
            if weight is not None and weight not in seen:
                seen.add(weight)
                yield path + name, weight


def number_formats(network: nn.Module) -> set[str]:
    """Return the number formats of a network's weights and buffers, such as "torch.float16"."""
    parts = [vars(part) for _, part in named_parts(network)]
    tensors = [each for part in parts for held in ("_parameters", "_buffers") for each in part[held].values()]
    return {str(dtype) for dtype in {each.dtype for each in tensors if each is not None}}
