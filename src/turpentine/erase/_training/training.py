"""The training loop: Adam on fp32 master weights, saved at a steady pace and stopped between two updates."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, Protocol, runtime_checkable

import torch
from torch import Tensor

from turpentine.core.errors import NotFinite
from turpentine.core.parts import Parts, Tensors
from turpentine.models import Model

TRAINED_ROW = 3
"""Cost of a row with its gradient, in rows: forward once, and backward, which costs about two forward passes."""

SECONDS_BETWEEN_SAVES = 15.0
LARGEST_SHARE = 0.05

# fp16 has no numbers under 6e-8, where the gradients of a mean over a picture lie; a power of two costs no precision.
_LOSS_SCALE = {torch.float16: 2.0**12}
_FUSED = {"cpu", "cuda"}
_MOMENTS = ("exp_avg", "exp_avg_sq")


@runtime_checkable
class Trained(Protocol):
    """What an update changes, and what the weights are with it."""

    tensors: dict[str, Tensor]

    def current(self) -> dict[str, Tensor]:
        """Return the weights as they are now, in the model's number format, with a gradient to `tensors`."""
        ...

    def deltas(self) -> dict[str, Tensor]:
        """Return what training has changed."""
        ...


class Masters:
    """The trained weights in fp32, by dotted name; the model's own are never written to.

    In half precision an Adam step of 1e-5 is smaller than the spacing of most weights, and would be lost.

    Args:
        model: The model.
        names: Dotted names of the weights to train.
    """

    def __init__(self, model: Model, names: Iterable[str]) -> None:
        self._start = {name: model.parameter(name).detach() for name in names}
        self.tensors = {
            name: weight.to(torch.float32, copy=True).requires_grad_() for name, weight in self._start.items()
        }

    def current(self) -> dict[str, Tensor]:
        """Return the weights in the model's number format, with the gradient flowing back to the masters."""
        return {name: master.to(self._start[name].dtype) for name, master in self.tensors.items()}

    @torch.no_grad()
    def deltas(self) -> dict[str, Tensor]:
        """Return what training has changed: ΔW = W_master − W."""
        return {name: master - self._start[name].float() for name, master in self.tensors.items()}


@contextmanager
def substituted(model: Model, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Substitute tensors for the model's weights for the length of a `with` block.

    For calls that cannot be given weights. Only pointers change, so the model's own bits come back whatever happens.
    """
    originals = {name: model.parameter(name).data for name in tensors}
    try:
        for name, tensor in tensors.items():
            model.parameter(name).data = tensor.detach()
        yield
    finally:
        for name, original in originals.items():
            model.parameter(name).data = original


class Adam:
    """Adam (β 0.9 and 0.999, no weight decay) on fp32 masters, one whole update at a time.

    Args:
        masters: The weights to train.
        lr: Learning rate.
        dtype: The model's number format; in fp16 the loss is scaled.

    Attributes:
        updates: Number of updates done.
        is_whole: False while an update is being written.
    """

    def __init__(self, masters: Trained, lr: float, dtype: torch.dtype) -> None:
        self._tensors = masters.tensors
        self._scale = _LOSS_SCALE.get(dtype, 1.0)
        weights = list(self._tensors.values())
        self._adam = torch.optim.Adam(weights, lr=lr, fused=weights[0].device.type in _FUSED)
        self.updates = 0
        self.is_whole = True

    def update(self, loss: Tensor) -> None:
        """Update the weights by the gradient of `loss`.

        Raises:
            NotFinite: The loss or a gradient is NaN or infinite; the message names the weight and the update.
        """
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
        """Return what a resumed run needs: weights, both moments, and the number of updates."""
        state = {"updates": torch.tensor(self.updates)}
        for name, weight in self._tensors.items():
            state[f"weight/{name}"] = weight.detach()
            state |= {f"{moment}/{name}": self._adam.state[weight][moment] for moment in _MOMENTS}
        return state

    @torch.no_grad()
    def restore(self, state: Tensors) -> None:
        """Go on from what `state` returned, bit by bit."""
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
            self._raise_not_finite(loss, gradients)

    def _raise_not_finite(self, loss: Tensor, gradients: list[Tensor]) -> None:
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

    Ctrl-C takes effect between two updates: the state is saved, and the message of KeyboardInterrupt says how to go on.

    Args:
        adam: The optimiser.
        loss_at: Computes the loss of update `index`, from 0; what it draws must depend on the index only.
        updates: Number of updates in all.
        checkpoint: Where the state is saved, under "state".
        after_update: Called with the number of updates done, also before the first.

    Raises:
        NotFinite: The loss, a gradient or a weight is NaN or infinite; the checkpoint is discarded.
        KeyboardInterrupt: On Ctrl-C.
    """
    state = checkpoint.get("state")
    if state is not None:
        adam.restore(state)
    try:
        _run(adam, loss_at, updates, checkpoint, after_update)
    except KeyboardInterrupt as interrupt:
        raise _save_and_explain(adam, updates, checkpoint) from interrupt
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
    with delayed_interrupt() as is_interrupted:
        while adam.updates < updates and not is_interrupted():
            adam.update(loss_at(adam.updates))
            after_update(adam.updates)
            if pace.is_due:
                with pace.saving():
                    checkpoint.put("state", adam.state())
        if is_interrupted():  # in the last save, too
            raise KeyboardInterrupt


def _save_and_explain(adam: Adam, updates: int, checkpoint: Parts[Tensors]) -> KeyboardInterrupt:
    if adam.is_whole and adam.updates > 0:
        checkpoint.put("state", adam.state())
    done = f"Stopped after {adam.updates} of {updates} updates"
    if checkpoint.folder is None:
        return KeyboardInterrupt(f"{done}; nothing was kept: give a checkpoint folder to be able to go on.")
    return KeyboardInterrupt(f"{done}; the same command goes on from {checkpoint.folder}.")


class Pace:
    """Decide when to save: every 15 seconds, or less often where saving would take over a twentieth of the time."""

    def __init__(self) -> None:
        self._wait = SECONDS_BETWEEN_SAVES
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Return whether it is time to save."""
        return time.monotonic() - self._last >= self._wait

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure what a save costs: the `with` block."""
        start = time.monotonic()
        yield
        self._last = time.monotonic()
        self._wait = max(SECONDS_BETWEEN_SAVES, (self._last - start) / LARGEST_SHARE)


@contextmanager
def delayed_interrupt() -> Iterator[Callable[[], bool]]:
    """Delay Ctrl-C for the length of a `with` block, which gets a function that returns whether one came.

    A second Ctrl-C is not delayed. Outside the main thread, and where SIGINT is ignored, nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False
        return
    interrupted = threading.Event()

    def delay(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    signal.signal(signal.SIGINT, delay)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
