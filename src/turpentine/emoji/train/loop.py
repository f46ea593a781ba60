"""The training loop of every stage: seeded by step, resumable bit by bit, checkpointed without a pickle."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import NotFinite
from turpentine.core.hashing import digest_tensor
from turpentine.core.parts import Parts, Tensors
from turpentine.emoji.train.muon import Muon

Loss = Callable[[np.random.Generator], Tensor]
"""Draws a batch with the generator and returns its mean loss; all randomness comes from the generator."""


@dataclass(frozen=True)
class StageSchedule:
    """How long and how fast a stage trains. Learning rates warm up linearly and fall along a cosine to a hundredth.

    Args:
        updates: Number of updates.
        lr: Adam's learning rate, for vectors, embeddings and the first and last layers.
        muon_lr: Muon's learning rate, for all other matrices and kernels; 0 leaves them to Adam.
        warmup: Updates of the linear warm-up.
        ema: Decay of the moving average of the weights.
        clip: Largest norm of the gradient.
        checkpoint_every: Updates between two checkpoints.
        seed: Of all batches.
        bf16: Whether the networks compute in bfloat16; weights, averages and optimisers stay in fp32.
    """

    updates: int
    lr: float
    muon_lr: float = 0.0
    warmup: int = 50
    ema: float = 0.999
    clip: float = 1.0
    checkpoint_every: int = 100
    seed: int = 0
    bf16: bool = False

    def factor(self, step: int) -> float:
        """Return the factor on the learning rate at `step`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.updates - self.warmup)
        return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * done)))


STATE = "state"
"""The key of a training's state among its parts."""

_LOG = ("step", "loss", "seconds")


class StageRun:
    """One stage's training in progress: the module, its moving average, its optimisers and its log."""

    def __init__(self, name: str, module: nn.Module, schedule: StageSchedule, folder: Path) -> None:
        self.name, self.module, self.schedule, self.folder = name, module, schedule, folder
        self.parameters = dict(module.named_parameters())
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.optimizers = _optimizers(self.parameters, schedule)
        # Of this schedule, from these weights on.
        start = {n: digest_tensor(p) for n, p in self.parameters.items()}
        self.parts = Parts(folder, ["training", name, asdict(schedule), start])
        self.step = 0
        self.log: list[dict[str, float]] = []
        self.seconds = 0.0

    @property
    def log_path(self) -> Path:
        """Path of the log of losses."""
        return self.folder / f"{self.name}.csv"

    def train(self, loss: Loss, say: Callable[[str], None]) -> None:
        """Train to the end of the schedule, from the last checkpoint if there is one; then use the average."""
        state = self.parts.get(STATE)
        if state is not None:
            self.restore(state)
            say(f"{self.name}: continuing at update {self.step} of {self.schedule.updates}")
        while self.step < self.schedule.updates:
            start = time.monotonic()
            value = self.update(loss)
            self.seconds += time.monotonic() - start
            self.log.append({"step": self.step, "loss": value, "seconds": round(self.seconds, 3)})
            if self.step % 25 == 0:
                say(self.progress())
            if self.step % self.schedule.checkpoint_every == 0 or self.step == self.schedule.updates:
                self.save()
        self.use_average()

    def update(self, loss: Loss) -> float:
        """Do one update and return the loss.

        Raises:
            NotFinite: The loss is NaN or infinite.
        """
        self.module.train()
        with torch.autocast(device_of(self.module).type, torch.bfloat16, enabled=self.schedule.bf16):
            value = loss(np.random.default_rng((self.schedule.seed, self.step)))
        if not torch.isfinite(value):
            raise NotFinite(f"{self.name}: the loss is {value.item()} at update {self.step}.")
        for parameter in self.parameters.values():
            parameter.grad = None
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters.values(), self.schedule.clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.schedule.factor(self.step)
            optimizer.step()
        self.step += 1
        self._update_average()
        return float(value.item())

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the average; its decay grows from nothing, so that early weights are forgotten."""
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)

    @torch.no_grad()
    def use_average(self) -> None:
        """Replace the weights by their moving average."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])
        self.module.eval()

    def progress(self) -> str:
        """Return a line with the step, the loss, the rate and the time left."""
        recent = self.log[-25:]
        loss = sum(r["loss"] for r in recent) / len(recent)
        rate = len(recent) / max(1e-6, recent[-1]["seconds"] - recent[0]["seconds"])
        left = (self.schedule.updates - self.step) / rate
        return (
            f"{self.name}: update {self.step}/{self.schedule.updates}, loss {loss:.4f}, "
            f"{rate:.2f} updates/s, {left / 60:.1f} min left"
        )

    def save(self) -> None:
        """Write weights, average, optimiser state and log, each whole or not at all."""
        tensors = {f"weights/{n}": p.detach() for n, p in self.parameters.items()}
        tensors |= {f"average/{n}": a for n, a in self.average.items()}
        for i, optimizer in enumerate(self.optimizers):
            for j, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{i}/{j}/{key}": torch.as_tensor(value) for key, value in state.items()}
        for column in _LOG:
            tensors[f"log/{column}"] = torch.tensor([row[column] for row in self.log], dtype=torch.float64)
        self.parts.put(STATE, tensors)
        self._write_log()

    def _write_log(self) -> None:
        with write_whole(self.log_path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, _LOG)
            writer.writeheader()
            writer.writerows(self.log)

    def restore(self, tensors: Tensors) -> None:
        """Go on from a state that `save` wrote."""
        steps, losses, seconds = (tensors[f"log/{column}"].tolist() for column in _LOG)
        self.log = [
            {"step": int(step), "loss": loss, "seconds": at}
            for step, loss, at in zip(steps, losses, seconds, strict=True)
        ]
        self.step, self.seconds = int(steps[-1]), seconds[-1]
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weights/{name}"])
                self.average[name].copy_(tensors[f"average/{name}"])
        for i, optimizer in enumerate(self.optimizers):
            states: dict[int, dict[str, Tensor]] = {}
            for key, tensor in tensors.items():
                if key.startswith(f"optimizer/{i}/"):
                    _, _, j, field = key.split("/")
                    states.setdefault(int(j), {})[field] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": states})


def _optimizers(parameters: dict[str, nn.Parameter], schedule: StageSchedule) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices and kernels inside the network, and Adam for everything else."""
    inner = {n for n, p in parameters.items() if schedule.muon_lr and p.ndim >= 2 and not _at_an_end(n)}
    muon = [p for n, p in parameters.items() if n in inner]
    adam = [p for n, p in parameters.items() if n not in inner]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(adam, lr=schedule.lr, betas=(0.9, 0.95))]
    if muon:
        optimizers.append(Muon(muon, lr=schedule.muon_lr))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def _at_an_end(name: str) -> bool:
    return any(part in name for part in ("conv_in", "conv_out", "embed", "quant_conv"))


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's weights."""
    return next(module.parameters()).device


def generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator seeded from `rng`; on the CPU, so that every device draws the same numbers."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))
