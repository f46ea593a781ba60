"""Where a bench runs: in this process, in several on this machine, or on a Ray cluster."""

from turpentine.runs.backends.process import worker
from turpentine.runs.backends.running import BACKENDS, PHASES, run

__all__ = ["BACKENDS", "PHASES", "run", "worker"]
