"""How much each weight counts for a concept: first-order attributions of weights, heads, modules and layers."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.attribution.approximation import approximation
    from turpentine.attribution.gradient import GradientSum, attributable, attribute
    from turpentine.attribution.memory import check_attribution_fits
    from turpentine.attribution.objective import Objective
    from turpentine.attribution.scores import Approximation, Attribution

__all__ = [
    "Approximation",
    "Attribution",
    "GradientSum",
    "Objective",
    "approximation",
    "attributable",
    "attribute",
    "check_attribution_fits",
]

__getattr__, __dir__ = lazy_exports(__name__)
