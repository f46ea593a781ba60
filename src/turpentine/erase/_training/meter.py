"""Progress in one unit for sampling and training together, so that rate and time left are honest throughout."""

from __future__ import annotations

from dataclasses import dataclass

from turpentine.core.progress import Progress

TRAINED_ROW = 3  # forward once, and backward, which costs about two forward passes


@dataclass(frozen=True)
class Meter:
    """Counts rows of the denoiser, a trained row as three.

    sampled_rows: to be sampled before the first update. update_rows: trained in each update. updates: in all.
    """

    progress: Progress | None
    sampled_rows: int
    update_rows: int
    updates: int

    @property
    def total(self) -> int:
        """Rows in all."""
        return self.sampled_rows + self.updates * self.update_rows * TRAINED_ROW

    def sampled(self, done: int, total: int) -> None:
        """A part, `done` of `total`, of the sampling is done."""
        if self.progress:
            self.progress(self.sampled_rows * done // total, self.total)

    def updated(self, updates: int) -> None:
        """So many updates are done."""
        if self.progress:
            self.progress(self.sampled_rows + updates * self.update_rows * TRAINED_ROW, self.total)
