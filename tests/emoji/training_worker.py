"""Small trainings, for a process of their own: one to be killed, and one of a tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch

from turpentine.emoji.train import autoencoder
from turpentine.emoji.train.loop import StageRun, StageSchedule
from turpentine.emoji.train.towers_stage import build_tokenizer


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


def learn_tokens(size: int) -> None:
    """Print a string's hash, on which the order of sets depends, and a vocabulary."""
    print(hash("church"))
    print(sorted(build_tokenizer(size).get_vocab().items()))
