"""Where, when and how a model knows a concept: instruments that give a table, a plot of it, and sites to edit.

An instrument is a plug-in under its own name, in the file of that name: `turpentine.explain.trace` holds `Trace` and
its `TraceFinding`. Here each is fetched when it is first used, those of other packages too:

    from turpentine.explain import Trace
"""

from typing import TYPE_CHECKING

from turpentine.core.lazy import plugin_exports

if TYPE_CHECKING:
    from turpentine.explain._codes import intervention as intervention
    from turpentine.explain.agreement import Agreement as Agreement
    from turpentine.explain.agreement import AgreementFinding as AgreementFinding
    from turpentine.explain.finding import Finding as Finding
    from turpentine.explain.instrument import Instrument as Instrument
    from turpentine.explain.replication import Replication as Replication
    from turpentine.explain.tour import Tour as Tour

__getattr__, __dir__ = plugin_exports(__name__, "instrument")
