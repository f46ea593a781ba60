"""NaN and infinity stop what draws, with the site and the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from turpentine.core.errors import BadArgument, NotFinite

_WAY_OUT = "load the model in fp32, or check its weights"


def check_scale(guidance_scale: float) -> None:
    """Check that a guidance scale is a number.

    Raises:
        BadArgument: It is NaN or infinite.
    """
    if not abs(guidance_scale) < float("inf"):
        raise BadArgument(f"A guidance scale cannot be {guidance_scale}: give a finite number.")


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity; this waits for its device."""
    return bool(torch.isfinite(tensor).all())


def not_finite(what: str, networks: Mapping[str, nn.Module], again: Callable[[], Any]) -> NotFinite:
    """Return the error for a result that is not finite.

    Args:
        what: The beginning of the sentence, such as "The denoiser gives NaN or infinity in step 1 of 20".
        networks: By name; in one of them it began.
        again: Computes the same once more, so that the first module that gives such numbers can be named.
    """
    site = _first_site(networks, again)
    return NotFinite(f"{what}{f' (first in {site})' if site else ''}: {_WAY_OUT}.")


class Watch:
    """Checks the predictions of a run of a sampler, a step late where reading them would let a device run dry.

    Args:
        complain: Raises the error for the step of an index and its x_t.
    """

    def __init__(self, complain: Callable[[int, Tensor], None]) -> None:
        self._complain = complain
        self._pending: tuple[int, Tensor, Tensor] | None = None

    def add(self, index: int, x: Tensor, eps: Tensor) -> None:
        """Look at a step's prediction, at once where it is on the CPU."""
        self.finish()
        self._pending = index, x, torch.isfinite(eps).all()
        if eps.device.type == "cpu":
            self.finish()

    def finish(self) -> None:
        """Check the last step that was not checked yet."""
        pending, self._pending = self._pending, None
        if pending is not None and not pending[2]:
            self._complain(*pending[:2])


@torch.no_grad()
def _first_site(networks: Mapping[str, nn.Module], again: Callable[[], Any]) -> str:
    """Return the first module that gives what is not finite, "" where it does not happen again."""
    sites: list[str] = []
    with ExitStack() as stack:
        for component, network in networks.items():
            for path, module in network.named_modules(prefix=component):
                if next(module.children(), None) is None:
                    stack.callback(_put(module, path, sites).remove)
        again()
    return next(iter(sites), "")


def _put(module: nn.Module, path: str, sites: list[str]) -> Any:
    def look(_: nn.Module, args: Any, output: Any) -> None:
        if not sites and not all(map(is_finite, _tensors(output))):
            sites.append(path)

    return module.register_forward_hook(look)


def _tensors(output: Any) -> Iterator[Tensor]:
    for value in output if isinstance(output, tuple) else (output,):
        if isinstance(value, Tensor) and value.is_floating_point():
            yield value
