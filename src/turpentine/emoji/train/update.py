"""One update of a training: loss, gradient, optimisers, moving average. On a GPU it is one CUDA graph.

A network as small as the embedded one is some thousand kernels of a few microseconds: launched one by one from Python
they leave the GPU idle most of the time. Captured once and replayed, an update is one launch. What changes from update
to update (the batch, the learning rates, the average's decay) lies in tensors that are written before a replay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from turpentine.emoji.train.muon import Muon

Batch = Mapping[str, Tensor]
"""What one update needs, by name; the same names, dtypes and shapes in every update."""

WARM_UP = 3
"""Updates that run as they are before a graph is captured: libraries choose and allocate in them."""

building = threading.RLock()
"""Held while networks are built, loaded or captured where several train at once: torch's random state is one for all
threads, and the libraries that load weights replace functions of torch while they do."""


@dataclass(frozen=True)
class Loss:
    """A loss in two halves.

    Args:
        draw: Draws a batch, on the CPU, with a generator: all chance is here, so that every device sees the same.
        value: Returns the mean loss of a batch that lies where the networks are.
    """

    draw: Callable[[np.random.Generator], Batch]
    value: Callable[[Batch], Tensor]

    def __call__(self, rng: np.random.Generator) -> Tensor:
        """Return the loss of a batch that `rng` draws, on the CPU."""
        return self.value(self.draw(rng))


class Update:
    """Updates of a module, one after another.

    Args:
        module: What is trained, where it is to be trained.
        value: The loss of a batch.
        lr: Adam's learning rate, for vectors, embeddings and the first and last layers.
        muon_lr: Muon's learning rate, for all other matrices and kernels; 0 leaves them to Adam.
        clip: Largest norm of the gradient.
        bf16: Whether the module computes in bfloat16; weights, average and optimisers are in fp32 all the same.

    Attributes:
        weights: What is trained, by name: the module's parameters, or in bf16 their masters in fp32.
        average: Moving average of the weights, by name.
        optimizers: Adam, and Muon if there is anything for it.
    """

    def __init__(
        self,
        module: nn.Module,
        value: Callable[[Batch], Tensor],
        *,
        lr: float,
        muon_lr: float,
        clip: float,
        bf16: bool,
    ) -> None:
        self.module, self.value, self.clip, self.bf16 = module, value, clip, bf16
        parameters = dict(module.named_parameters())
        self.weights = {n: nn.Parameter(p.detach().clone()) for n, p in parameters.items()} if bf16 else parameters
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
        if bf16:
            for parameter in parameters.values():
                parameter.data = parameter.data.to(torch.bfloat16) if parameter.ndim else parameter.data
        self.computing: list[Tensor] = list(parameters.values())
        self.device = self.computing[0].device
        self.rates = torch.zeros(2, device=self.device)
        self.forgetting = torch.zeros((), device=self.device)
        self.optimizers = self._optimizers(muon_lr)
        self.base_rates = torch.tensor([lr, muon_lr])
        self._batch: dict[str, Tensor] = {}
        self._eager = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._loss = torch.zeros((), device=self.device)

    def __call__(self, batch: Batch, factor: float, decay: float) -> Tensor:
        """Do one update and return the loss, a scalar on the device.

        Args:
            batch: On the CPU.
            factor: On the learning rates.
            decay: Of the moving average.
        """
        self.rates.copy_(self.base_rates * factor)
        self.forgetting.fill_(1 - decay)
        if self.device.type != "cuda":
            return self._update(batch)
        self._put(batch)
        if self._graph is None and self._eager < WARM_UP:
            self._eager += 1
            return self._update(self._batch)
        if self._graph is None:
            self._graph = self._captured()
        self._graph.replay()
        return self._loss.clone()

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor], average: Mapping[str, Tensor], states: list[OptimizerState]) -> None:
        """Go on from weights, their average, and the optimisers' states, each parameter's by its number."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])
            self.average[name].copy_(average[name])
        self._compute_with_weights()
        for number, (optimizer, state) in enumerate(zip(self.optimizers, states, strict=True)):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            for group in optimizer.param_groups:
                group["lr"] = self.rates[number]

    @torch.no_grad()
    def use_average(self) -> None:
        """Give the module the average, in fp32."""
        for parameter, average in zip(self.computing, self.average.values(), strict=True):
            parameter.grad = None
            parameter.data = average.clone(memory_format=torch.preserve_format)

    def _put(self, batch: Batch) -> None:
        if not self._batch:
            self._batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        for name, tensor in batch.items():
            self._batch[name].copy_(tensor, non_blocking=True)

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with building:
            torch.cuda.synchronize()
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._loss = self._update(self._batch)
        return graph

    def _update(self, batch: Batch) -> Tensor:
        for parameter in self.computing:
            parameter.grad = None
        value = self.value(batch)
        value.backward()  # type: ignore[no-untyped-call]
        if self.bf16:
            self._raise_gradients()
        nn.utils.clip_grad_norm_(self.weights.values(), self.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self._move_average()
        self._compute_with_weights()
        return value.detach()

    @torch.no_grad()
    def _raise_gradients(self) -> None:
        """Give the weights in fp32 the gradients of what computed in bf16."""
        for weight, parameter in zip(self.weights.values(), self.computing, strict=True):
            weight.grad = None if parameter.grad is None else torch.empty_like(weight)
        have = [p.grad for p in self.computing if p.grad is not None]
        torch._foreach_copy_([w.grad for w in self.weights.values() if w.grad is not None], have)

    @torch.no_grad()
    def _compute_with_weights(self) -> None:
        if self.bf16:
            torch._foreach_copy_(self.computing, list(self.weights.values()))

    @torch.no_grad()
    def _move_average(self) -> None:
        average = list(self.average.values())
        change = torch._foreach_sub(list(self.weights.values()), average)
        torch._foreach_mul_(change, self.forgetting)
        torch._foreach_add_(average, change)

    def _optimizers(self, muon_lr: float) -> list[torch.optim.Optimizer]:
        """Return Adam for the ends of the network and all vectors, and Muon for the matrices and kernels inside."""
        inner = {n for n, p in self.weights.items() if muon_lr and p.ndim >= 2 and not _at_an_end(n)}
        muon = [p for n, p in self.weights.items() if n in inner]
        adam = [p for n, p in self.weights.items() if n not in inner]
        on_gpu = self.device.type == "cuda"
        rates = self.rates.unbind()
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(adam, lr=rates[0], betas=(0.9, 0.95), capturable=on_gpu, foreach=on_gpu)
        ]
        if muon:
            optimizers.append(Muon(muon, lr=rates[1]))
        return optimizers


OptimizerState = dict[int, dict[str, Tensor]]


def _at_an_end(name: str) -> bool:
    return name.startswith("proj_out") or any(part in name for part in ("conv_in", "conv_out", "embed", "quant_conv"))
