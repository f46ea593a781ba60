"""One way to reach into the network: functions put on sites inside a context, gone when it is left.

Severing, swapping, patching and recording are each a few lines on top; see the end of this file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from turpentine.core.errors import BadWindow
from turpentine.models.conditioning import Conditioning
from turpentine.models.model import Model
from turpentine.models.sites import Site, Sites, as_sites
from turpentine.models.windows import Moment


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module at a site.

    args, kwargs: what it was called with. output: what it gave; None in a function put on before it.
    moment: the sampler's step, None outside of a sampler.
    """

    site: Site
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    moment: Moment | None

    @property
    def rows(self) -> slice:
        """Which rows of the tensors are the prompt's, and not of ∅ or a guidance; outside of a sampler, all."""
        return self.moment.conditional if self.moment else slice(None)

    @property
    def tensor(self) -> Tensor:
        """The output; of modules that give several things, as a text encoder's attention does, the first."""
        tensor: Tensor = self.output[0] if isinstance(self.output, tuple) else self.output
        return tensor

    def with_tensor(self, tensor: Tensor) -> Any:
        """The output with another tensor in the place of `tensor`."""
        return (tensor, *self.output[1:]) if isinstance(self.output, tuple) else tensor


After = Callable[[Call], Any]
"""Returns the output to go on with, or None to leave it as it is."""
Before = Callable[[Call], tuple[tuple[Any, ...], dict[str, Any]] | None]
"""Returns the arguments to call the module with, or None to leave them as they are."""


@contextmanager
def hooked(
    model: Model, after: Mapping[Site | Sites, After], *, before: Mapping[Site | Sites, Before] | None = None
) -> Iterator[None]:
    """Put functions on sites for the length of a `with` block.

    On leaving, and after an error even half-way through putting them on, the modules and the global random state
    (Python's, NumPy's, torch's) are as before. Sites with a window are touched in those steps of a sampler only.
    """
    with preserved_rng(), ExitStack() as stack:
        for sites, function in after.items():
            for site in as_sites(sites):
                stack.callback(_put_after(model, site, as_sites(sites), function))
        for sites, change in (before or {}).items():
            for site in as_sites(sites):
                stack.callback(_put_before(model, site, as_sites(sites), change))
        yield


def _put_after(model: Model, site: Site, sites: Sites, function: After) -> Callable[[], None]:
    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if _applies(model, sites):
            return function(Call(site, module, args, kwargs, output, model.moment))
        return None

    return model.module(site.name).register_forward_hook(hook, with_kwargs=True).remove


def _put_before(model: Model, site: Site, sites: Sites, function: Before) -> Callable[[], None]:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
        if _applies(model, sites):
            return function(Call(site, module, args, kwargs, None, model.moment))
        return None

    return model.module(site.name).register_forward_pre_hook(hook, with_kwargs=True).remove


def _applies(model: Model, sites: Sites) -> bool:
    if sites.window is None:
        return True
    if model.moment is None:
        raise BadWindow(f"{sites} has a window, and only a sampler has steps: call the model without one.")
    return model.moment in sites.window


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Leave the global random states of Python, NumPy and torch (all devices in use) as they were."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@dataclass
class RowCount:
    """What went through the denoiser: calls, rows in all, and rows with gradients wanted."""

    calls: int = 0
    rows: int = 0
    grad_rows: int = 0


@contextmanager
def count_rows(model: Model) -> Iterator[RowCount]:
    """Count the denoiser's work inside a `with` block, which is what costs time."""
    count = RowCount()

    def add(module: nn.Module, args: Any, kwargs: Any) -> None:
        rows = len(args[0] if args else kwargs["sample"])
        count.calls += 1
        count.rows += rows
        count.grad_rows += rows if torch.is_grad_enabled() else 0

    handle = model.unet.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield count
    finally:
        handle.remove()


def zero(call: Call) -> Any:
    """0 as the output on the conditional rows: for `hooked`, after a site."""
    output = call.tensor.clone()
    output[call.rows] = 0
    return call.with_tensor(output)


def tell(cond: Conditioning) -> Before:
    """Another text for a cross-attention module on the conditional rows: for `hooked`, before a site.

    cond: one row for all, or one each.
    """

    def change(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        hidden = call.kwargs["encoder_hidden_states"].clone()
        hidden[call.rows] = cond.hidden.to(hidden)
        return call.args, {**call.kwargs, "encoder_hidden_states": hidden}

    return change


def sever(model: Model, sites: Site | Sites) -> AbstractContextManager[None]:
    """Set the output of sites to 0 on the conditional rows."""
    return hooked(model, {sites: zero})


def swap(model: Model, sites: Site | Sites, cond: Conditioning) -> AbstractContextManager[None]:
    """Feed cross-attention modules another text on the conditional rows; `cond` has one row for all, or one each."""
    return hooked(model, {}, before={sites: tell(cond)})


@dataclass
class Record:
    """Outputs by site name, on the conditional rows, in order of the calls."""

    outputs: dict[str, list[Tensor]] = field(default_factory=dict)


@contextmanager
def record(model: Model, sites: Site | Sites) -> Iterator[Record]:
    """Keep what sites give inside a `with` block."""
    kept = Record()

    def keep(call: Call) -> None:
        kept.outputs.setdefault(call.site.name, []).append(call.tensor[call.rows].detach().clone())

    with hooked(model, {sites: keep}):
        yield kept
