"""Adam on master weights, one whole update at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn

import torch
from torch import Tensor

from turpentine.core.errors import NotFinite
from turpentine.core.parts import Parts, Tensors
from turpentine.erase._training.interrupt import held_interrupt
from turpentine.erase._training.masters import Masters
from turpentine.erase._training.pace import Pace

# fp16 has no numbers under 6e-8, where the gradients of a mean over a picture lie; a power of two costs no precision.
_LOSS_SCALE = {torch.float16: 2.0**12}
_FUSED = {"cpu", "cuda"}
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam:
    """Adam (β 0.9 and 0.999, no weight decay) on fp32 masters, that says what went wrong and can be put by.

    updates: how many are done.
    """

    def __init__(self, masters: Masters, lr: float, dtype: torch.dtype) -> None:
        self._tensors = masters.tensors
        self._scale = _LOSS_SCALE.get(dtype, 1.0)
        weights = list(self._tensors.values())
        self._adam = torch.optim.Adam(weights, lr=lr, fused=weights[0].device.type in _FUSED)
        self.updates = 0
        self.is_whole = True

    def update(self, loss: Tensor) -> None:
        """One update by the gradient of `loss`. Raises NotFinite, naming the weight and the update."""
        scaled = loss if self._scale == 1 else loss * self._scale
        gradients = torch.autograd.grad(scaled, list(self._tensors.values()), materialize_grads=True)
        self._check(loss, gradients)
        for weight, gradient in zip(self._tensors.values(), gradients, strict=True):
            weight.grad = gradient if self._scale == 1 else gradient / self._scale
        self.is_whole = False
        self._adam.step()
        self._adam.zero_grad()
        self.updates += 1
        self.is_whole = True

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs: weights, both moments, and the count."""
        state = {"updates": torch.tensor(self.updates)}
        for name, weight in self._tensors.items():
            state[f"weight/{name}"] = weight.detach()
            state |= {f"{moment}/{name}": self._adam.state[weight][moment] for moment in _MOMENTS}
        return state

    @torch.no_grad()
    def restore(self, state: Tensors) -> None:
        """Go on from a `state`, bit by bit."""
        self.updates = int(state["updates"])
        moments = {}
        for index, (name, weight) in enumerate(self._tensors.items()):
            weight.copy_(state[f"weight/{name}"])
            step = {"step": torch.tensor(float(self.updates))}
            moments[index] = step | {moment: state[f"{moment}/{name}"] for moment in _MOMENTS}
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": moments, "param_groups": groups})

    def _check(self, loss: Tensor, gradients: Iterable[Tensor]) -> None:
        gradients = list(gradients)
        # One number to wait for, not one for each weight: on a GPU each would be a stop.
        if not torch.isfinite(torch.nn.utils.get_total_norm(gradients) + loss.detach()):
            self._complain(loss, gradients)

    def _complain(self, loss: Tensor, gradients: list[Tensor]) -> None:
        update = f"in update {self.updates + 1}"
        for name, weight in self._tensors.items():
            if not torch.isfinite(weight).all():
                _stop(f"The weight {name} is NaN or infinite {update}")
        for name, gradient in zip(self._tensors, gradients, strict=True):
            if not torch.isfinite(gradient).all():
                _stop(f"The gradient of {name} is NaN or infinite {update}")
        if not torch.isfinite(loss):
            _stop(f"The loss is {loss.item()} {update}")


def _stop(what: str) -> NoReturn:
    raise NotFinite(f"{what}: lower the learning rate, or load the model in fp32.")


def train(
    adam: Adam,
    loss_at: Callable[[int], Tensor],
    *,
    updates: int,
    checkpoint: Parts[Tensors],
    after_update: Callable[[int], None],
) -> None:
    """Update until `updates` are done, going on from the checkpoint if it holds a state.

    loss_at: the loss of update `index`, from 0; what it draws must depend on the index only.
    after_update: called with the number of updates done, before the first too.
    A Ctrl-C takes effect between two updates: the state is saved and KeyboardInterrupt says how to go on.
    """
    state = checkpoint.get("state")
    if state is not None:
        adam.restore(state)
    try:
        _run(adam, loss_at, updates, checkpoint, after_update)
    except KeyboardInterrupt as interrupt:
        raise _put_by(adam, updates, checkpoint) from interrupt
    except NotFinite:
        checkpoint.clear()  # the same settings would end the same way
        raise


def _run(
    adam: Adam,
    loss_at: Callable[[int], Tensor],
    updates: int,
    checkpoint: Parts[Tensors],
    after_update: Callable[[int], None],
) -> None:
    pace = Pace()
    after_update(adam.updates)
    with held_interrupt() as came:
        while adam.updates < updates and not came():
            adam.update(loss_at(adam.updates))
            after_update(adam.updates)
            if pace.is_due:
                with pace.saving():
                    checkpoint.put("state", adam.state())
        if came():  # in the last save, too
            raise KeyboardInterrupt


def _put_by(adam: Adam, updates: int, checkpoint: Parts[Tensors]) -> KeyboardInterrupt:
    if adam.is_whole and adam.updates > 0:
        checkpoint.put("state", adam.state())
    done = f"Stopped after {adam.updates} of {updates} updates"
    if checkpoint.folder is None:
        return KeyboardInterrupt(f"{done}; nothing was kept: give a checkpoint folder to be able to go on.")
    return KeyboardInterrupt(f"{done}; the same command goes on from {checkpoint.folder}.")
