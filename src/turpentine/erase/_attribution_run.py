"""Attributions of a concept that a stopped run goes on with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from turpentine.attribution import Attribution, GradientSum, Objective
from turpentine.core.parts import Parts, Tensors
from turpentine.erase._training.interrupt import held_interrupt
from turpentine.erase._training.meter import TRAINED_ROW
from turpentine.erase._training.pace import Pace
from turpentine.erase.common import Tally
from turpentine.models import Model

_TENSORS = ("x", "t", "target", "row")


class KeptGradients:
    """What a run keeps of one concept: the points of its objective, and the sum of its gradients so far.

    checkpoint: where. index: of the concept. tally: of rows of the denoiser, a row with its gradient counted as three.
    """

    def __init__(self, checkpoint: Parts[Tensors], index: int, tally: Tally) -> None:
        self._checkpoint, self._index, self._tally = checkpoint, index, tally

    def objective(
        self, model: Model, prompts: Sequence[str], sign: float, rows: int, make: Callable[[], Objective]
    ) -> Objective:
        """The points that are kept, or else those that are made; `rows` of the denoiser are in the making."""
        kept = self._checkpoint.get(f"points-{self._index}")
        if kept is None:
            made = make()
            self._checkpoint.put(f"points-{self._index}", {name: getattr(made, name) for name in _TENSORS})
            return made
        self._tally.add(rows)
        tensors = {name: tensor.to(model.device) for name, tensor in kept.items()}
        return Objective(cond=model.encode(prompts), sign=sign, **tensors)

    def attribution(self, model: Model, objective: Objective, names: tuple[str, ...], batch_size: int) -> Attribution:
        """α of the weights, summed from where a kept sum left off. A Ctrl-C takes effect between two batches."""
        total = GradientSum(model, objective, names, batch_size)
        kept = self._checkpoint.get(f"gradients-{self._index}")
        if kept is not None:
            total.restore(kept)
            self._tally.add(TRAINED_ROW * total.done)
        self._advance(total)
        return total.attribution()

    def _advance(self, total: GradientSum) -> None:
        pace = Pace()
        with held_interrupt() as came:
            while not total.is_done and not came():
                before = total.done
                total.advance()
                self._tally.add(TRAINED_ROW * (total.done - before))
                if pace.is_due:
                    with pace.saving():
                        self._save(total)
        if came():
            self._save(total)
            raise KeyboardInterrupt(self._stopped(total))

    def _save(self, total: GradientSum) -> None:
        self._checkpoint.put(f"gradients-{self._index}", total.state())

    def _stopped(self, total: GradientSum) -> str:
        done = f"Stopped after the gradients at {total.done} points"
        if self._checkpoint.folder is None:
            return f"{done}; nothing was kept: give a checkpoint folder to be able to go on."
        return f"{done}; the same command goes on from {self._checkpoint.folder}."
