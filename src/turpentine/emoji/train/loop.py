"""The training loop of every stage: seeded by step, resumable bit by bit, checkpointed without a pickle."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import NotFinite
from turpentine.core.hashing import digest_tensor
from turpentine.core.parts import Parts, Tensors
from turpentine.emoji.train.feed import batches, batches_ahead
from turpentine.emoji.train.update import Batch, Loss, OptimizerState, Update


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
        seconds: Longest time to train: where the updates would take longer, the rates fall by the clock and the stage
            ends with fewer. None for as long as it takes.
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
    seconds: float | None = None

    def factor(self, step: int, seconds: float = 0.0) -> float:
        """Return the factor on the learning rate at `step`, after `seconds` of training."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = max((step - self.warmup) / max(1, self.updates - self.warmup), self.share_of_time(seconds))
        return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))

    def share_of_time(self, seconds: float) -> float:
        """Return how much of its longest time a stage has used, 0 if it has none."""
        return seconds / self.seconds if self.seconds else 0.0


STATE = "state"
"""The key of a training's state among its parts."""

_LOG = ("step", "loss", "seconds")
REPORT_EVERY = 25
"""Updates between two lines of progress."""


class StageRun:
    """One stage's training in progress: the module, its moving average, its optimisers and its log.

    Args:
        name: Of the stage.
        module: What is trained, where it is to be trained.
        schedule: How long and how fast.
        folder: For checkpoints and the log.
        workers: Processes that draw batches ahead; 0 draws each when it is needed.
    """

    def __init__(self, name: str, module: nn.Module, schedule: StageSchedule, folder: Path, workers: int = 0) -> None:
        self.name, self.module, self.schedule, self.folder, self.workers = name, module, schedule, folder, workers
        # Of this schedule, from these weights on.
        start = {n: digest_tensor(p) for n, p in module.named_parameters()}
        self.parts = Parts(folder, ["training", name, asdict(schedule), start])
        self.step = 0
        self.log: list[dict[str, float]] = []
        self.seconds = 0.0
        self._losses: list[Tensor] = []

    @property
    def log_path(self) -> Path:
        """Path of the log of losses."""
        return self.folder / f"{self.name}.csv"

    def train(self, loss: Loss, say: Callable[[str], None]) -> None:
        """Train to the end of the schedule, from the last checkpoint if there is one; then use the average."""
        rates = self.schedule
        self.doing = Update(
            self.module, loss.value, lr=rates.lr, muon_lr=rates.muon_lr, clip=rates.clip, bf16=rates.bf16
        )
        state = self.parts.get(STATE)
        if state is not None:
            self.restore(state)
            say(f"{self.name}: continuing at update {self.step} of {self.schedule.updates}")
        self.module.train()
        with self._batches(loss) as ahead:
            start = time.monotonic() - self.seconds
            for batch in ahead:
                self._update(batch)
                self.seconds = time.monotonic() - start
                self.log.append({"step": self.step, "loss": float("nan"), "seconds": round(self.seconds, 3)})
                ended = self.schedule.share_of_time(self.seconds) >= 1
                if self._on_cpu or self.step % REPORT_EVERY == 0 or ended:
                    self._read_losses()
                if self.step % REPORT_EVERY == 0:
                    say(self.progress())
                if self.step % self.schedule.checkpoint_every == 0 or self.step == self.schedule.updates or ended:
                    self.save()
                if ended:
                    say(f"{self.name}: its time is over after {self.step} updates")
                    break
        self.doing.use_average()
        self.module.eval()

    def _batches(self, loss: Loss) -> AbstractContextManager[Iterator[Batch]]:
        steps = self.schedule.seed, self.step, self.schedule.updates
        return (
            batches_ahead(loss.draw, *steps, self.workers) if self.workers else nullcontext(batches(loss.draw, *steps))
        )

    @property
    def _on_cpu(self) -> bool:
        return device_of(self.module).type == "cpu"

    def _update(self, batch: Batch) -> None:
        decay = min(self.schedule.ema, (2 + self.step) / (11 + self.step))  # grows from nothing: early weights go
        self._losses.append(self.doing(batch, self.schedule.factor(self.step, self.seconds), decay))
        self.step += 1

    def _read_losses(self) -> None:
        """Write the losses of the last updates into the log.

        Raises:
            NotFinite: One is NaN or infinite.
        """
        values = torch.stack(self._losses).float().tolist()
        for row, value in zip(self.log[-len(values) :], values, strict=True):
            if not np.isfinite(value):
                raise NotFinite(f"{self.name}: the loss is {value} at update {int(row['step']) - 1}.")
            row["loss"] = value
        self._losses.clear()

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
        if self._losses:
            self._read_losses()
        tensors = {f"weights/{n}": p.detach() for n, p in self.doing.weights.items()}
        tensors |= {f"average/{n}": a for n, a in self.doing.average.items()}
        for i, optimizer in enumerate(self.doing.optimizers):
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
        states: list[OptimizerState] = [{} for _ in self.doing.optimizers]
        for key, tensor in tensors.items():
            if key.startswith("optimizer/"):
                _, number, index, field = key.split("/")
                states[int(number)].setdefault(int(index), {})[field] = tensor
        weights, average = (_under(f"{part}/", tensors) for part in ("weights", "average"))
        self.doing.load(weights, average, states)


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's weights."""
    return next(module.parameters()).device


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the format that a module computes in."""
    return next(parameter.dtype for parameter in module.parameters() if parameter.ndim)


def generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator seeded from `rng`; on the CPU, so that every device draws the same numbers."""
    return torch.Generator().manual_seed(int(rng.integers(2**63)))
