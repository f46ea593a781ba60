"""Parts of a sampling run: windows of steps as fractions of the schedule, and the step under way."""

from __future__ import annotations

from dataclasses import dataclass

from turpentine.core.errors import BadWindow


@dataclass(frozen=True)
class Moment:
    """Where a sampler is while the denoiser runs.

    Args:
        index: The step, from 0 (pure noise) to `steps` − 1.
        steps: Steps in all.
        conditional: The rows of the batch that are the prompts' own.
        guiding: For the same pictures the rows of ∅ and of a guidance, a slice each; none where only the prompts run.
    """

    index: int
    steps: int
    conditional: slice
    guiding: tuple[slice, ...] = ()


@dataclass(frozen=True)
class Window:
    """A part of the schedule, as fractions; windows that meet share no step and leave none out.

    Args:
        start: From 0, the first step (pure noise).
        stop: To 1, after the last step.

    Raises:
        BadWindow: Not 0 ≤ start < stop ≤ 1.

    Example:
        >>> Window(0, 0.3).steps(20)
        range(0, 6)
        >>> Window(0.3, 1).steps(20)
        range(6, 20)
    """

    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise BadWindow(
                f"The window {self.start} to {self.stop} is no part of the schedule: "
                "give two fractions from 0 to 1, the smaller first."
            )

    def steps(self, count: int) -> range:
        """Return the indices of its steps in a schedule of `count` steps; empty if the schedule is too short."""
        return range(round(self.start * count), round(self.stop * count))

    def __contains__(self, moment: Moment) -> bool:
        """Return whether a step of a sampler is inside."""
        return moment.index in self.steps(moment.steps)

    def counted(self, count: int) -> range:
        """Return the indices of its steps, as `steps`.

        Raises:
            BadWindow: There is none.
        """
        if not self.steps(count):
            raise BadWindow(f"{self} holds none of the {count} sampling steps: widen it, or take more.")
        return self.steps(count)

    def __and__(self, other: Window) -> Window:
        """Return the part that two windows share.

        Raises:
            BadWindow: They share nothing.
        """
        return Window(max(self.start, other.start), min(self.stop, other.stop))
