"""Attribute a concept to weights, resumably: a stopped run goes on from the gradients summed so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from turpentine.attribution import Attribution, GradientSum, Objective
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Tracker
from turpentine.erase._training.training import TRAINED_ROW, Pace, delayed_interrupt
from turpentine.models import Model
from turpentine.models.guidance import guided

_TENSORS = ("x", "t", "target", "row")


class ResumableAttribution:
    """The attribution of one concept: the points of its objective, and the sum of its gradients so far.

    Args:
        checkpoint: Where both are saved.
        index: Number of the concept, from 0.
        tracker: Counts rows of the denoiser, a row with its gradient as three.
    """

    def __init__(self, checkpoint: Parts[Tensors], index: int, tracker: Tracker) -> None:
        self._checkpoint, self._index, self._tracker = checkpoint, index, tracker

    def objective(
        self,
        model: Model,
        prompts: Sequence[str],
        sign: float,
        rows: int,
        make: Callable[[], Objective],
        *,
        is_in_output: bool = False,
        guidance_scale: float | None = None,
    ) -> Objective:
        """Return the objective with the saved points, computing them with `make` if there are none.

        Args:
            model: The model.
            prompts: The prompts of the objective's rows.
            sign: The objective's sign.
            rows: Rows of the denoiser that `make` takes.
            make: Computes the objective.
            is_in_output: See `Objective`.
            guidance_scale: Of its rows, for a denoiser that computes guidance itself; None for its own.
        """
        tensors = self._checkpoint.get(f"points-{self._index}")
        if tensors is None:
            objective = make()
            self._checkpoint.put(f"points-{self._index}", {name: getattr(objective, name) for name in _TENSORS})
            return objective
        self._tracker.add(rows)
        points = {name: tensor.to(model.device) for name, tensor in tensors.items()}
        cond = model.encode(prompts)
        cond = cond if guidance_scale is None else guided(model, cond, guidance_scale)
        return Objective(cond=cond, sign=sign, is_in_output=is_in_output, **points)

    def attribution(
        self, model: Model, objective: Objective, names: tuple[str, ...], batch_size: int, *, is_squared: bool = False
    ) -> Attribution:
        """Return α of the weights, going on from the saved sum. Ctrl-C takes effect between two batches.

        Args:
            model: The model.
            objective: J.
            names: Of the weights.
            batch_size: Points in a call of the denoiser.
            is_squared: Whether it is the mean over the points of each one's α², which takes batches of one.
        """
        total = GradientSum(model, objective, names, 1 if is_squared else batch_size, is_squared=is_squared)
        state = self._checkpoint.get(f"gradients-{self._index}")
        if state is not None:
            total.restore(state)
            self._tracker.add(TRAINED_ROW * total.done)
        self._advance(total)
        return total.attribution()

    def _advance(self, total: GradientSum) -> None:
        pace = Pace()
        with delayed_interrupt() as is_interrupted:
            while not total.is_done and not is_interrupted():
                before = total.done
                total.advance()
                self._tracker.add(TRAINED_ROW * (total.done - before))
                if pace.is_due:
                    with pace.saving():
                        self._save(total)
        if is_interrupted():
            self._save(total)
            raise KeyboardInterrupt(self._how_to_go_on(total))

    def _save(self, total: GradientSum) -> None:
        self._checkpoint.put(f"gradients-{self._index}", total.state())

    def _how_to_go_on(self, total: GradientSum) -> str:
        done = f"Stopped after the gradients at {total.done} points"
        if self._checkpoint.folder is None:
            return f"{done}; nothing was kept: give a checkpoint folder to be able to go on."
        return f"{done}; the same command goes on from {self._checkpoint.folder}."
