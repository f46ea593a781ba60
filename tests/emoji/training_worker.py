"""A small training run, for a process of its own, to be killed."""

from __future__ import annotations

from pathlib import Path

import torch

from turpentine.emoji.train import autoencoder
from turpentine.emoji.train.loop import StageRun, StageSchedule


def run(folder: Path, updates: int) -> StageRun:
    torch.manual_seed(0)
    vae = autoencoder.build((8, 8), 1, 16)
    schedule = StageSchedule(updates=updates, lr=1e-3, muon_lr=0.02, warmup=3, checkpoint_every=4)
    return StageRun("small", vae, schedule, folder)


def train(folder: Path, updates: int) -> None:
    """What a process does."""
    torch.set_num_threads(1)
    stage = run(folder, updates)
    stage.train(autoencoder.loss(stage.module, 2, 16), lambda line: print(line, flush=True))
    print("done", flush=True)
