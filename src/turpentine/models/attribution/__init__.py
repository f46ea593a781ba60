"""How much each weight counts for a concept: first-order attributions of weights, heads, modules and layers."""

from turpentine.models.attribution.approximation import approximation
from turpentine.models.attribution.gradient import GradientSum, attributable, attribute
from turpentine.models.attribution.objective import Objective
from turpentine.models.attribution.scores import Approximation, Attribution

__all__ = ["Approximation", "Attribution", "GradientSum", "Objective", "approximation", "attributable", "attribute"]
