"""Where, when and how a model knows a concept: instruments that give a table, a picture of it, and sites to edit."""

from turpentine.explain._codes import intervention
from turpentine.explain.agreement import Agreed, Agreement
from turpentine.explain.clock import Clock
from turpentine.explain.coar import Coar, Regressed
from turpentine.explain.contributions import Contributed, Contributions
from turpentine.explain.dynamics import Dynamics, Unfolding
from turpentine.explain.entangle import Entangle, Entangled
from turpentine.explain.finding import Finding
from turpentine.explain.heads import Heads, HeadsFound
from turpentine.explain.intervene import Intervene, Interventions
from turpentine.explain.locogen import Located, LocoGen
from turpentine.explain.maps import Mapped, Maps
from turpentine.explain.segment import Segment, Segmented
from turpentine.explain.tour import Shown, Tour
from turpentine.explain.trace import Trace, Traced

__all__ = [
    "Agreed",
    "Agreement",
    "Clock",
    "Coar",
    "Contributed",
    "Contributions",
    "Dynamics",
    "Entangle",
    "Entangled",
    "Finding",
    "Heads",
    "HeadsFound",
    "Intervene",
    "Interventions",
    "Located",
    "LocoGen",
    "Mapped",
    "Maps",
    "Regressed",
    "Segment",
    "Segmented",
    "Shown",
    "Tour",
    "Trace",
    "Traced",
    "Unfolding",
    "intervention",
]
