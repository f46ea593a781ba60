"""What gradients of J take beside the model, reckoned before any work, and whether that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from turpentine.core.formatting import counted, file_size
from turpentine.models.model import Model
from turpentine.models.row_memory import FP32, bytes_a_row
from turpentine.models.training_memory import GradientWork, bytes_a_trained_row, check_training_fits


@dataclass(frozen=True, eq=False)
class AttributionWork(GradientWork):
    """The attribution of J to weights, as far as its memory hangs on it.

    The gradients' sum in fp32, which becomes α, is there all the time. On top comes the most of four: the activations
    of a batch; its gradients; weights with zeros in a trial of what α predicts, beside the rows that it takes; and a
    copy of α. The points of J, a few latents each, are not counted.

    Args:
        weights: As in `GradientWork`.
        rows: Points of J in a batch.
        row: As in `GradientWork`.
        given_back: As in `GradientWork`.
        is_squared: Whether gradients are squared before they are added.
        is_tried: Whether trials follow.
        is_copied: Whether another score of each weight is made of α.
        plain_row: Bytes of a row without gradients, where there are trials.

    Example:
        >>> import torch
        >>> weights = {"unet.linear.weight": torch.zeros(1000, 1000)}
        >>> AttributionWork(weights, rows=2, row=10**6).total, AttributionWork(weights, rows=8, row=10**6).total
        (8000000, 12000000)
    """

    smaller: ClassVar[str] = "choose fewer --sites, or take a smaller model"

    is_squared: bool = False
    is_tried: bool = False
    is_copied: bool = False
    plain_row: int = 0

    @property
    def sums(self) -> int:
        """Bytes of the gradients' sum, which becomes α."""
        return FP32 * self.numbers

    @property
    def gradients(self) -> int:
        """Bytes of a batch's gradients; squares of the largest stand beside them, and its copy in fp32."""
        largest = max(self.weights.values(), key=lambda weight: weight.numel())
        copies = 0 if not self.is_squared else 1 + (largest.itemsize != FP32)
        return self._bytes + copies * FP32 * largest.numel()

    @property
    def trial(self) -> int:
        """Bytes of a trial, if there is one."""
        return self.is_tried * (self._bytes + self.rows * self.plain_row)

    @property
    def total(self) -> int:
        """Bytes beside the model, at most at a time."""
        return self.sums + max(self.rows * self.row, self.gradients, self.trial, self.is_copied * self.sums)

    def deed(self, name: str) -> str:
        """Return what is done with the model of a name, as the beginning of a sentence up to what it takes."""
        return f"Attributing to {self.numbers:,} weights of {name} takes"

    def parts(self) -> str:
        """Return what takes how much, as text."""
        most = {
            f"for {counted(self.rows, 'row')} forward and backward": self.rows * self.row,
            "for the gradients of a batch": self.gradients,
            f"for a trial of {counted(self.rows, 'row')} with weights set to zero": self.trial,
            "for the scores": self.is_copied * self.sums,
        }
        what = max(most, key=lambda each: most[each])
        return f"{file_size(self.sums)} for the sum of their gradients, {file_size(most[what])} {what}"

    def counted(self, model: Model) -> AttributionWork:
        """Return the same with what rows take on a model, with the text of each, which is taken from its prompt's."""
        text, row = model.encode([""]).nbytes, bytes_a_trained_row(model, self.weights)
        return replace(self, row=row + text, plain_row=bytes_a_row(model) + text if self.is_tried else 0)

    def in_half(self) -> AttributionWork:
        """Return the same in fp16, but for what the model gives back."""
        return replace(super().in_half(), plain_row=self.plain_row // 2)

    @property
    def _bytes(self) -> int:
        return sum(weight.numel() * weight.itemsize for weight in self.weights.values())


def check_attribution_fits(
    model: Model,
    names: tuple[str, ...],
    batch_size: int,
    *,
    is_squared: bool = False,
    is_tried: bool = False,
    is_copied: bool = False,
) -> None:
    """Check that the gradients of J by some weights fit into the memory that is free beside the model.

    Args:
        model: The model, on its device.
        names: Of the weights.
        batch_size: Points of J in a batch; of squares one is.
        is_squared: See `AttributionWork`.
        is_tried: See `AttributionWork`.
        is_copied: See `AttributionWork`.

    Raises:
        NoMemory: They do not; the message has the numbers, and says what does.
    """
    weights = {name: model.parameter(name).detach() for name in names}
    rows = 1 if is_squared else batch_size
    work = AttributionWork(weights, rows, 0, is_squared=is_squared, is_tried=is_tried, is_copied=is_copied)
    ways: dict[str, Mapping[str, Any]] = {"--batch-size 1": {"rows": 1}} if rows > 1 else {}
    if is_tried:
        ways["--trials 0"] = {"is_tried": False}
    check_training_fits(model, work, ways)
