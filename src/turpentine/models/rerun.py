"""What lies before a module is computed once: later calls with the same input begin where they differ.

    import turpentine as tp
    from turpentine.models import hooked
    from turpentine.models.rerun import Rerun

    model, late = tp.load(), ...                       # a site of the denoiser
    rerun = Rerun(model)
    with rerun.remembered():
        eps = model.eps(x, t, cond)                    # as always
    with rerun.from_site(late), hooked(model, {late: lambda call: 0 * call.tensor}):
        changed = model.eps(x, t, cond)                # the same to the bit as without it, in half the time

To change one module after the other of n takes n calls of the whole network otherwise, of which half, in the mean, is
what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from turpentine.models.model import Model
from turpentine.models.sites import Site, Sites, as_sites


@dataclass
class _Passed:
    """A module in the remembered call: when it began and ended, what it gave, and how often it ran."""

    begun: int
    ended: int = 0
    output: Any = None
    times: int = 1


class Rerun:
    """What the modules of a denoiser gave in one call.

    Inside of the sites nothing is remembered, since no call begins there; all other activations of the call are held.

    Args:
        model: Whose denoiser it is.
        sites: Where later calls may begin; all modules that are sites by default.
    """

    def __init__(self, model: Model, sites: Site | Sites | None = None) -> None:
        chosen = model.sites.only(component="denoiser", level="module") if sites is None else as_sites(sites)
        self._model = model
        self._closed = {model.module(site.path) for site in chosen}
        self._runs: dict[nn.Module, _Passed] = {}

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """Remember the one call of the denoiser inside."""
        clock = 0
        self._runs.clear()

        def begin(module: nn.Module, args: Any) -> None:
            nonlocal clock
            clock += 1
            before = self._runs.get(module)
            began, times = (before.begun, before.times + 1) if before else (clock, 1)
            self._runs[module] = _Passed(began, times=times)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal clock
            clock += 1
            run = self._runs[module]
            run.ended, run.output = clock, output

        with ExitStack() as stack:
            for module in self._open(self._model.denoiser):
                stack.callback(module.register_forward_pre_hook(begin).remove)
                stack.callback(module.register_forward_hook(end).remove)
            yield

    @contextmanager
    def from_site(self, site: Site) -> Iterator[None]:
        """Let calls of the denoiser with the remembered input, and weights, begin at a site.

        What ended before the site's module began gives what it gave, and does not run. What ran twice runs again.
        """
        start = self._runs[self._model.module(site.path)].begun
        with ExitStack() as stack:
            for module in self._over(self._model.denoiser, start):
                stack.callback(_put(module, self._runs[module].output))
            yield

    def _open(self, module: nn.Module) -> Iterator[nn.Module]:
        """Yield the modules inside of a module, each once, and none inside of a site's."""
        seen: set[nn.Module] = set()

        def walk(outer: nn.Module) -> Iterator[nn.Module]:
            for child in outer.children():
                if child not in seen:
                    seen.add(child)
                    yield child
                    if child not in self._closed:
                        yield from walk(child)

        yield from walk(module)

    def _over(self, module: nn.Module, start: int) -> Iterator[nn.Module]:
        """Yield the outermost modules that ran once and had ended by then."""
        for child in module.children():
            run = self._runs.get(child)
            if run is not None and run.times == 1 and run.ended < start:
                yield child
            elif child not in self._closed:
                yield from self._over(child, start)


def _put(module: nn.Module, output: Any) -> Callable[[], None]:
    """Let a module give an output without running, and return what undoes that."""
    own = module.__dict__.get("forward")
    module.forward = lambda *args, **kwargs: output

    def undo() -> None:
        if own is None:
            del module.forward
        else:
            module.forward = own

    return undo
