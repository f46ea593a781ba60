"""One way to reach into the network: functions put on sites inside a context, gone when it is left.

    import turpentine as tp
    from turpentine.models import hooked, record, sever, swap

    model = tp.load()
    deep = model.sites.only(kind="cross-attention", level="module", label="MID")

    with record(model, deep) as kept:                    # what modules give
        model.generate("a church")
    kept.outputs["unet.mid_block.attentions.0.transformer_blocks.0.attn2"]   # a tensor for each step

    with sever(model, deep):                             # 0 in the place of what they give
        model.generate("a church")
    with swap(model, deep, model.encode(["a dog"])):     # another text for cross-attention
        model.generate("a church")
    with hooked(model, {deep: lambda call: 2 * call.tensor}):   # anything: a function of the `Call`
        model.generate("a church")
    with sever(model, deep.during(0.5, 1)):              # in the second half of the steps only
        model.generate("a church")

`hooked` is the primitive, and the others are each a few lines on top. Inside, `call.rows` are the prompt's own rows,
and not those of ∅ or a guidance, which share the denoiser's call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from turpentine.core.errors import BadWindow
from turpentine.core.random_state import preserved_rng
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.model import Model
from turpentine.models.sites import Site, Sites, as_sites

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
    (Python's, NumPy's, torch's) are as before.

    Args:
        model: Whose sites they are.
        after: Called with the `Call` when a site's module returns; gives the output to go on with, or None to leave it.
        before: Called before it runs; gives the arguments to call it with, or None to leave them.

    Raises:
        BadWindow: Inside, where sites have a window and the model runs outside of a sampler.
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

    return model.module(site.path).register_forward_hook(hook, with_kwargs=True).remove


def _put_before(model: Model, site: Site, sites: Sites, function: Before) -> Callable[[], None]:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
        if _applies(model, sites):
            return function(Call(site, module, args, kwargs, None, model.moment))
        return None

    return model.module(site.path).register_forward_pre_hook(hook, with_kwargs=True).remove


def _applies(model: Model, sites: Sites) -> bool:
    if sites.window is None:
        return True
    if model.moment is None:
        raise BadWindow(f"{sites} has a window, and only a sampler has steps: call the model without one.")
    return model.moment in sites.window


@dataclass
class RowCount:
    """What went through the denoiser: calls, rows in all, and rows that collect gradients."""

    calls: int = 0
    rows: int = 0
    grad_rows: int = 0


@contextmanager
def count_rows(model: Model) -> Iterator[RowCount]:
    """Count the denoiser's work inside a `with` block, which is what costs time."""
    count = RowCount()

    def add(module: nn.Module, args: Any, kwargs: Any) -> None:
        rows = len(args[0] if args else next(iter(kwargs.values())))
        count.calls += 1
        count.rows += rows
        count.grad_rows += rows if torch.is_grad_enabled() else 0

    handle = model.denoiser.register_forward_pre_hook(add, with_kwargs=True)
    try:
        yield count
    finally:
        handle.remove()


def zero(call: Call) -> Any:
    """Return the output with 0 on the conditional rows, put after a site."""
    output = call.tensor.clone()
    output[call.rows] = 0
    return call.with_tensor(output)


def read_instead(model: Model, cond: Conditioning) -> Before:
    """Return a function that gives cross-attention modules another text on the conditional rows, put before a site.

    Args:
        model: Whose modules they are.
        cond: One row for all, or one each.
    """
    return lambda call: model.family.with_text(call, cond)


def sever(model: Model, sites: Site | Sites) -> AbstractContextManager[None]:
    """Set the output of sites to 0 on the conditional rows."""
    return hooked(model, {sites: zero})


def swap(model: Model, sites: Site | Sites, cond: Conditioning) -> AbstractContextManager[None]:
    """Feed cross-attention modules another text on the conditional rows; `cond` has one row for all, or one each."""
    return hooked(model, {}, before={sites: read_instead(model, cond)})


@dataclass
class Record:
    """Outputs by site name, on the conditional rows, in order of the calls."""

    outputs: dict[str, list[Tensor]] = field(default_factory=dict)


@contextmanager
def record(model: Model, sites: Site | Sites) -> Iterator[Record]:
    """Keep what sites give inside a `with` block."""
    result = Record()

    def append(call: Call) -> None:
        result.outputs.setdefault(call.site.name, []).append(call.tensor[call.rows].detach().clone())

    with hooked(model, {sites: append}):
        yield result
