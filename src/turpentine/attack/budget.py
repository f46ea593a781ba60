"""What an attack may spend and has spent, counted where the work is done and not by its own word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from turpentine.core.settings import Count, Settings

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.judges.base import Judge
    from turpentine.models import Model


class BudgetSpent(Exception):
    """An attack asked for more than its budget; whoever runs it takes what it has so far."""


@dataclass(frozen=True)
class Budget(Settings):
    """The most that an attack may spend; what is None has no limit but the attack's own settings.

    Args:
        forward: Rows that go through a denoiser, the original's among them.
        backward: Those of them that gradients go back through.
        text: Prompts that go through the text encoders.
        judged: Pictures that a judge looks at while the attack searches.

    Example:
        >>> Budget(judged=0)
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: Budget's judged is 0: give 1 or more, or none.
    """

    forward: Count | None = None
    backward: Count | None = None
    text: Count | None = None
    judged: Count | None = None

    def capped(self, spent: Spent) -> Spent:
        """Return what is spent at most of what would be without a limit.

        Example:
            >>> Budget(forward=10).capped(Spent(forward=40, text=3))
            Spent(forward=10, backward=0, text=3, judged=0)
        """
        limits = {name: limit for name, limit in asdict(self).items() if limit is not None}
        return replace(spent, **{name: min(limit, getattr(spent, name)) for name, limit in limits.items()})


@dataclass(frozen=True)
class Spent:
    """What was spent; see `Budget`.

    Args:
        forward: Rows that went through a denoiser.
        backward: Those of them that gradients went back through.
        text: Prompts that went through the text encoders.
        judged: Pictures that a judge looked at.
    """

    forward: int = 0
    backward: int = 0
    text: int = 0
    judged: int = 0

    def __str__(self) -> str:
        words = {"forward": "rows", "backward": "rows back", "text": "texts", "judged": "judged"}
        return ", ".join(f"{count:,} {words[name]}" for name, count in asdict(self).items() if count) or "nothing"


NOTHING = Spent()


class Meter:
    """Counts by hooks what is spent inside of `counting`, and stops what would go over the budget.

    Args:
        budget: The limits.
        spent: What was spent before, by a run that was broken off.

    Attributes:
        spent: So far.
        outcomes: Of each picture judged, in order: was the concept in it?
    """

    def __init__(self, budget: Budget, spent: Spent | None = None, outcomes: Sequence[bool] = ()) -> None:
        self.budget = budget
        self.spent = spent or Spent()
        self.outcomes = list(outcomes)
        self._counts = True

    def affords(self, **more: int) -> bool:
        """Return whether so much more is within the budget; an attack asks before a unit of work."""
        return not self._counts or all(self._fits(name, count) for name, count in more.items())

    def add(self, **more: int) -> None:
        """Count work that is about to be done.

        Raises:
            BudgetSpent: It would go over the budget, and is not to be done.
        """
        if not self.affords(**more):
            raise BudgetSpent
        if not self._counts:
            return
        self.spent = replace(self.spent, **{name: getattr(self.spent, name) + count for name, count in more.items()})

    @contextmanager
    def repeating(self, is_repeated: bool) -> Iterator[None]:
        """Leave work inside a `with` block out of the count, if it is what a run that was broken off did before."""
        self._counts = not is_repeated
        try:
            yield
        finally:
            self._counts = True

    def _fits(self, name: str, count: int) -> bool:
        limit = getattr(self.budget, name)
        return limit is None or getattr(self.spent, name) + count <= limit

    @contextmanager
    def counting(self, *models: Model) -> Iterator[None]:
        """Count the work of models inside a `with` block; no hook is left after it."""
        with ExitStack() as stack:
            for model in {id(each): each for each in models}.values():
                stack.callback(model.denoiser.register_forward_pre_hook(self._denoised, with_kwargs=True).remove)
                first = model.family.encoder(next(iter(model.family.token_tables())))
                stack.callback(first.register_forward_pre_hook(self._encoded, with_kwargs=True).remove)
            yield

    def _denoised(self, module: Any, args: Any, kwargs: Any) -> None:
        import torch

        tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor)]
        learns = torch.is_grad_enabled() and (
            any(each.requires_grad for each in tensors) or any(each.requires_grad for each in module.parameters())
        )
        rows = len(tensors[0])
        self.add(forward=rows, backward=rows if learns else 0)

    def _encoded(self, module: Any, args: Any, kwargs: Any) -> None:
        import torch

        self.add(text=len(next(each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor))))


@dataclass(frozen=True, eq=False)
class ConceptJudge:
    """Says of pictures whether a concept is in them.

    Args:
        judge: The judge.
        column: Its column of labels.
        label: Of the concept.
    """

    judge: Judge
    column: str
    label: str

    def __call__(self, images: Sequence[Image.Image]) -> list[bool]:
        """Return for each picture whether the concept is in it; never in what a filter leaves."""
        from turpentine.judges.base import hits
        from turpentine.models.filters import is_blocked

        seen = hits(self.judge, self.column, images, [self.label] * len(images)) if images else []
        return [hit and not is_blocked(image) for hit, image in zip(seen, images, strict=True)]

    def facts(self) -> list[Any]:
        """Return what decides its answers, as JSON has it."""
        return [self.judge.name, self.judge.revision, dict(self.judge.settings), self.column, self.label]
