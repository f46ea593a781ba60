"""How much each weight counts for a concept: first-order attributions of weights, heads, modules and layers."""

from turpentine.attribution.approximation import approximation
from turpentine.attribution.gradient import GradientSum, attributable, attribute
from turpentine.attribution.objective import Objective
from turpentine.attribution.scores import Approximation, Attribution

__all__ = ["Approximation", "Attribution", "GradientSum", "Objective", "approximation", "attributable", "attribute"]
