"""Where, when and how a model knows a concept: instruments that give a table, a plot of it, and sites to edit.

An instrument is a plug-in under its own name, in the file of that name: `turpentine.explain.trace` holds `Trace` and
its `TraceFinding`. Here each is fetched when it is first used, those of other packages too:

    from turpentine.explain import Trace
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from turpentine.core.plugins import plugins

if TYPE_CHECKING:
    from turpentine.explain._codes import intervention as intervention
    from turpentine.explain.agreement import Agreement as Agreement
    from turpentine.explain.agreement import AgreementFinding as AgreementFinding
    from turpentine.explain.finding import Finding as Finding
    from turpentine.explain.instrument import Instrument as Instrument
    from turpentine.explain.tour import Tour as Tour

_HOMES = {
    "Agreement": "agreement",
    "AgreementFinding": "agreement",
    "Finding": "finding",
    "Instrument": "instrument",
    "Tour": "tour",
    "intervention": "_codes",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    for plugin in plugins("instrument").values():
        module, _, instrument = plugin.target.partition(":")
        if name in (instrument, f"{instrument}Finding"):
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
