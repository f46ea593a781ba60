"""α: each weight times the gradient of J by it, summed over the points of J."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from turpentine.attribution.objective import Objective
from turpentine.attribution.scores import Attribution
from turpentine.core.errors import BadArgument, EmptySelection, NotFinite
from turpentine.core.progress import Progress
from turpentine.models.model import Model
from turpentine.models.sites import Selection, check_in_denoiser, check_whole, selected

BATCH_SIZE = 8


class GradientSum:
    """∂J/∂w of some weights, summed in fp32, a batch of J's points at a time.

    Only the selected weights get gradients, and the model's own tensors are not touched.

    Args:
        model: The model.
        objective: J.
        names: Of the weights.
        batch_size: Points in a call of the denoiser, 1 or more.
        is_squared: Whether each batch's gradients are squared before they are added, and so the weights in α.

    Attributes:
        done: Points that are in the sum.
        value: The sum of J's terms so far.

    Raises:
        BadArgument: `batch_size` is under 1.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        names: tuple[str, ...],
        batch_size: int = BATCH_SIZE,
        *,
        is_squared: bool = False,
    ) -> None:
        if batch_size < 1:
            raise BadArgument(f"A batch of {batch_size} holds nothing: give 1 or more.")
        self._model, self._objective, self._batch_size = model, objective, batch_size
        self._is_squared = is_squared
        # They share the model's memory: only the gradients and their sum are new.
        self._weights = {name: model.parameter(name).detach().requires_grad_() for name in names}
        self._sums = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in self._weights.items()}
        self.done, self.value = 0, 0.0

    @property
    def is_done(self) -> bool:
        """Whether every point is in the sum."""
        return self.done == len(self._objective)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def advance(self) -> None:
        """Add the next batch.

        Raises:
            NotFinite: A gradient or J is NaN or infinite; the message names the weight and the timesteps.
        """
        points = self._objective[self.done : self.done + self._batch_size]
        value = points.terms(self._model, self._weights).sum()
        gradients = torch.autograd.grad(value, list(self._weights.values()), materialize_grads=True)
        self._check(points, value, gradients)
        for total, gradient in zip(self._sums.values(), gradients, strict=True):
            total.add_(gradient.float().square() if self._is_squared else gradient)
        self.value += float(value.detach())
        self.done += len(points)

    @torch.no_grad()
    def attribution(self) -> Attribution:
        """Return α_i = w_i·∂J/∂w_i of the finished sum, whose memory it takes over; of squares the mean of α_i²."""
        for name, total in self._sums.items():
            weight = self._weights[name].float()
            total.mul_(weight.square() if self._is_squared else weight).div_(len(self._objective))
        return Attribution(self._sums, self.value / self.done, self._objective, self._model)

    def state(self) -> dict[str, Tensor]:
        """Return all that a resumed sum needs."""
        return {"done": torch.tensor(self.done), "value": torch.tensor(self.value, dtype=torch.float64), **self._sums}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, bit by bit."""
        self.done, self.value = int(state["done"]), float(state["value"])
        for name, total in self._sums.items():
            total.copy_(state[name])

    def _check(self, points: Objective, value: Tensor, gradients: tuple[Tensor, ...]) -> None:
        # One number to wait for, not one for each weight: on a GPU each would be a stop. The largest entry is finite
        # where all are, while a sum of squares can leave fp16, and fp32 too.
        if torch.isfinite(torch.nn.utils.get_total_norm(gradients, norm_type=math.inf) + value.detach()):
            return
        named = zip(self._weights, gradients, strict=True)
        bad = next((f"The gradient of {name}" for name, each in named if not torch.isfinite(each).all()), "J")
        times = ", ".join(f"{t:g}" for t in dict.fromkeys(points.t.tolist()))
        raise NotFinite(f"{bad} is NaN or infinite at timestep {times}: load the model in fp32, or check its weights.")


@torch.inference_mode(False)
def attribute(
    model: Model,
    objective: Objective,
    sites: Selection,
    *,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Attribution:
    """Return α_i = w_i·∂J/∂w_i of each selected weight, the first-order change of J when w_i is set to 0.

    J(w) − J(w̃) ≈ Σ_{i∈S} α_i, where w̃ is w with the weights S set to 0 (equation 3 of CAD, Nguyen et al. 2024, arXiv
    2412.02542). It takes a forward and a backward row of the denoiser for each point of J.

    Args:
        model: The model.
        objective: J.
        sites: Whose weights; see `attributable`.
        batch_size: Points in a call of the denoiser, 1 or more.
        progress: Called with points done and in all.

    Raises:
        EmptySelection: The sites hold no weight of a linear or convolution layer; raised before any work.
        BadArgument: A site is outside of the denoiser; raised before any work.
        NotFinite: A gradient or J is NaN or infinite; the message names the weight and the timestep.
    """
    total = GradientSum(model, objective, attributable(model, sites), batch_size)
    while not total.is_done:
        total.advance()
        if progress:
            progress(total.done, len(objective))
    return total.attribution()


def attributable(model: Model, sites: Selection) -> tuple[str, ...]:
    """Return the names of the weights of all linear and convolution layers in a selection of the denoiser's sites.

    Args:
        model: The model.
        sites: Such as "feed-forward", "resnet", "all" or "UP2"; see `models.selected`.

    Raises:
        EmptySelection: There is no such weight.
        UnknownName: A site that the model does not have.
        BadArgument: A site is outside of the denoiser.
        UnsupportedModel: A weight is selected in part.
    """
    chosen = selected(model.sites, sites)
    check_in_denoiser(chosen)
    check_whole(chosen)
    names = tuple(name for name in chosen.parameters() if _is_weight(model, name))
    if not names:
        raise EmptySelection(f"{chosen} holds no weight of a linear or convolution layer: select some.")
    return names


def _is_weight(model: Model, name: str) -> bool:
    layer, _, last = name.rpartition(".")
    return last == "weight" and isinstance(model.module(layer), nn.Linear | nn.Conv2d)
