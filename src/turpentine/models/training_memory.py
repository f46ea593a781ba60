"""What work with gradients takes beside the model, reckoned before it begins, and whether that fits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from turpentine.core.errors import NoMemory
from turpentine.core.formatting import counted, file_size
from turpentine.core.oom import is_out_of_memory
from turpentine.core.safe_text import one_line
from turpentine.models.loading.memory import HALF, free_memory
from turpentine.models.row_memory import FP32, PeakBytes, is_plenty

if TYPE_CHECKING:
    from turpentine.models.model import Model

MOMENTS = 2
SMALL_RANK = 4
"""The rank to take where whole weights do not fit."""


W = TypeVar("W", bound="GradientWork")


@dataclass(frozen=True, eq=False)
class GradientWork(ABC):
    """Work that follows gradients back to some weights, as far as its memory hangs on it.

    Args:
        weights: What gradients go to, by dotted name.
        rows: In a call of the denoiser.
        row: Bytes of the activations of one row; see `bytes_a_trained_row`.
        given_back: Bytes that the model itself takes less than it does now.

    Attributes:
        smaller: What else takes less, as text.
    """

    smaller: ClassVar[str]

    weights: Mapping[str, Tensor]
    rows: int
    row: int
    given_back: int = 0

    @property
    def trained(self) -> Mapping[str, Tensor]:
        """The weights that gradients go to."""
        return self.weights

    @property
    def numbers(self) -> int:
        """How many numbers get gradients."""
        return sum(weight.numel() for weight in self.trained.values())

    @property
    @abstractmethod
    def total(self) -> int:
        """Bytes beside the model, at most at a time."""

    @abstractmethod
    def deed(self, name: str) -> str:
        """Return what is done with the model of a name, as the beginning of a sentence up to what it takes."""

    @abstractmethod
    def parts(self) -> str:
        """Return what takes how much, as text."""

    def counted(self: W, model: Model) -> W:
        """Return the same with what rows take on a model."""
        return replace(self, row=bytes_a_trained_row(model, self.trained))

    def in_half(self: W) -> W:
        """Return the same in fp16, but for what the model gives back."""
        weights = {name: weight.to("meta", HALF) for name, weight in self.weights.items()}
        return replace(self, weights=weights, row=self.row // 2)


@dataclass(frozen=True, eq=False)
class Training(GradientWork):
    """A training by Adam in fp32, as far as its memory hangs on it.

    Trained numbers and both their moments are there all the time. On top comes the most of three: the weights as the
    model reads them with the activations of an update; all gradients; the change as it is returned.

    Args:
        weights: What changes of the model, by dotted name.
        rows: Of an update.
        row: Bytes of the activations of one row; see `bytes_a_trained_row`.
        rank: Of the factors that are trained in the place of matrices; None for the weights themselves.
        masked: Names of weights of which some rows stay, so that a copy is what the model reads.
        gradients: How many of each trained number live at a time, at least; 2 in fp16, whose loss is scaled.
        keeps_start: Whether a copy of the weights before is held.
        given_back: Bytes that the model itself takes less than it does now.

    Example:
        >>> weights = {"unet.linear.weight": torch.zeros(1000, 1000)}
        >>> Training(weights, rows=2, row=10**6).total, Training(weights, rows=2, row=10**6, rank=4).total
        (16000000, 6096000)
    """

    smaller: ClassVar[str] = "train fewer --sites, or take a smaller model"

    rank: int | None = None
    masked: frozenset[str] = frozenset()
    gradients: int = 1
    keeps_start: bool = False

    @property
    def trained(self) -> dict[str, Tensor]:
        """The weights that are trained: factors are of matrices alone."""
        return {name: weight for name, weight in self.weights.items() if self.rank is None or weight.ndim > 1}

    @property
    def numbers(self) -> int:
        """How many numbers are trained."""
        if self.rank is None:
            return sum(weight.numel() for weight in self.trained.values())
        return sum(self.rank * (len(weight) + weight[0].numel()) for weight in self.trained.values())

    @property
    def moments(self) -> int:
        """Bytes of Adam's moments."""
        return MOMENTS * FP32 * self.numbers

    @property
    def held(self) -> int:
        """Bytes of what is trained, and of the weights before where they are held."""
        start = sum(map(_bytes, self.weights.values())) if self.keeps_start else 0
        return FP32 * self.numbers + start

    @property
    def update(self) -> int:
        """Bytes of activations, and of the weights as the model reads them where they are not what is trained."""
        return self._copies() + self.rows * self.row

    @property
    def backward(self) -> int:
        """Bytes of gradients, or of the change where it has more numbers than what is trained."""
        count = max(self.gradients, 2 if any(each.dtype == HALF for each in self.trained.values()) else 1)
        return FP32 * max(count * self.numbers, sum(weight.numel() for weight in self.trained.values()))

    @property
    def total(self) -> int:
        """Bytes beside the model, at most at a time."""
        return self.held + self.moments + max(self.update, self.backward)

    def deed(self, name: str) -> str:
        """Return what is done with the model of a name, as the beginning of a sentence up to what it takes."""
        return f"Training {self.numbers:,} numbers of {name} takes"

    def parts(self) -> str:
        """Return what takes how much, as text."""
        most = f"{file_size(self.backward)} for gradients"
        if self.update > self.backward:
            most = f"{file_size(self.update)} for {counted(self.rows, 'row')} forward and backward"
        return f"{file_size(self.held)} for them, {file_size(self.moments)} for Adam's moments, {most}"

    def _copies(self) -> int:
        """Return the bytes of the weights as the model reads them, where those are not what is trained."""
        is_own = {name: self.rank is None and name not in self.masked for name in self.trained}
        weights = self.trained.items()
        return sum(_bytes(weight) for name, weight in weights if not is_own[name] or weight.dtype != torch.float32)


def bytes_a_trained_row(model: Model, names: Iterable[str]) -> int:
    """Return the bytes that a row of an update takes forward and backward, by one with its gradients thrown away.

    Args:
        model: The model; it is not changed.
        names: Dotted names of the weights that gradients go to.

    Example:
        >>> from turpentine.models.row_memory import bytes_a_row
        >>> names = model.sites.only(kind="cross-attention", level="layer").parameters()
        >>> bytes_a_trained_row(model, names) > bytes_a_row(model)
        True
    """
    x, cond = model.noise([0]), model.encode([""])
    t = torch.full((1,), model.schedule.training_steps // 2, device=model.device)
    stand_ins = {name: model.parameter(name).detach().requires_grad_() for name in names}
    for each in stand_ins.values():
        each.register_post_accumulate_grad_hook(_forget_gradient)  # type: ignore[no-untyped-call]
    with torch.enable_grad(), PeakBytes() as count:
        model.followed(x, t, cond, parameters=stand_ins).float().square().mean().backward()  # type: ignore[no-untyped-call]
    peak: int = count.peak
    return peak


def check_training_fits(model: Model, work: GradientWork, ways: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that a training, or other work with gradients, fits into the memory that is free beside the model.

    Args:
        model: The model, on its device.
        work: The work; what its rows take is counted here.
        ways: Fields of `work` to set otherwise so that it takes less, by the flag that does so.

    Raises:
        NoMemory: It does not; the message has the numbers, and says what does.
    """
    if not work.trained:
        return  # which is refused by who trains
    free = free_memory(model.device)
    if is_plenty(model, work.rows, free - work.total):
        return
    counted_work = _counted(model, work)
    if counted_work is None:
        half = "try --dtype fp16, " if model.dtype == torch.float32 else ""
        raise NoMemory(
            f"The activations of a single row of {one_line(model.name)}, forward and backward, do not fit into the "
            f"{file_size(free)} of memory that are free on {model.device}: {half}{work.smaller}."
        )
    if counted_work.total > free:
        raise NoMemory(
            f"{counted_work.deed(one_line(model.name))} {file_size(counted_work.total)} beside the model "
            f"({counted_work.parts()}), and {file_size(free)} of memory are free on {model.device}: "
            f"{_way_out(model, counted_work, free, ways)}."
        )


def _counted(model: Model, work: W) -> W | None:
    """Return the work with the bytes of a row's activations; None where there is not the memory for one."""
    try:
        return work.counted(model)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None


def _way_out(model: Model, work: GradientWork, free: int, ways: Mapping[str, Mapping[str, Any]]) -> str:
    """Return each flag that makes it fit, else the fewest of them together, else that none does."""
    flags = [*ways, *(["--dtype fp16"] if model.dtype == torch.float32 else [])]
    for count in range(1, len(flags) + 1):
        tried = {some: _changed(model, work, some, ways) for some in combinations(flags, count)}
        fitting = [
            f"{' and '.join(some)}, which takes {file_size(less.total)}{_frees(less)}"
            for some, less in tried.items()
            if less.total - less.given_back <= free
        ]
        if fitting:
            return f"give {'; or '.join(fitting)}"
    least = file_size(_changed(model, work, flags, ways).total)
    even = f"even with {' and '.join(flags)} it takes {least}; " if flags else ""
    return f"{even}{work.smaller}"


def _frees(work: GradientWork) -> str:
    return f" and frees {file_size(work.given_back)}" if work.given_back else ""


def _changed(model: Model, work: W, flags: Iterable[str], ways: Mapping[str, Mapping[str, Any]]) -> W:
    """Return the work with some flags given; in half precision the model gives back half of what it takes."""
    for flag in flags:
        work = replace(work, **ways[flag]) if flag in ways else replace(work.in_half(), given_back=_half_of(model))
    return work


def _half_of(model: Model) -> int:
    """Return the bytes that a model takes less in half precision."""
    weights = [weight for part in model.components.values() for weight in part.parameters()]
    return sum(weight.numel() * max(0, weight.itemsize - HALF.itemsize) for weight in weights)


def _bytes(weight: Tensor) -> int:
    return weight.numel() * weight.itemsize


def _forget_gradient(weight: Tensor) -> None:
    weight.grad = None
