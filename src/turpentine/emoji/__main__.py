"""`python -m turpentine.emoji`: train the embedded model, and draw its loss curves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from cyclopts import App

from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.core.signals import sigterm_interrupts

app = App(
    name="python -m turpentine.emoji",
    help="The embedded emoji model: how it is made.",
    suppress_keyboard_interrupt=False,  # which would end without the line on how to go on
)

STAGES = ("autoencoder", "towers", "judge", "unet")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@app.command
def train(
    out: Path = Path("runs/emoji"),
    *,
    preset: Literal["cpu", "gpu", "64"] = "cpu",
    until: Literal["autoencoder", "towers", "judge", "unet"] = "unet",
    device: str | None = None,
    threads: int = 0,
) -> None:
    """Train the embedded model from nothing; the same command continues after a kill.

    Args:
        out: Folder for checkpoints, loss curves and, at the end, the diffusers folder `weights`.
        preset: Sizes and schedules: two CPU cores, one GPU, or 64 px pictures on one GPU.
        until: The last stage to run: autoencoder, towers, judge, unet.
        device: Where to train, as torch names it; cpu for the preset cpu, cuda for the others by default.
        threads: CPU threads; 0 leaves the choice to torch.
    """
    import torch

    from turpentine.emoji.train.assemble import assemble
    from turpentine.emoji.train.presets import PRESETS
    from turpentine.emoji.train.stages import WorldTraining

    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # subnormal moments would slow every update down
    training = WorldTraining(PRESETS[preset], out, _say, device=device or ("cpu" if preset == "cpu" else "cuda"))
    stages = STAGES[: STAGES.index(until) + 1]
    vae = training.autoencoder()
    towers = training.towers() if "towers" in stages else None
    judge = training.judge(vae) if "judge" in stages else None
    if towers is not None and judge is not None and "unet" in stages:
        assemble(vae, towers, training.unet(vae, towers), judge, out / "weights")
        _say(f"written to {out / 'weights'}{os.sep}")


@app.command
def oracle(
    concept: str,
    *,
    unnamed: bool = False,
    seed: int = 0,
    out: Path | None = None,
    preset: Literal["cpu", "gpu"] = "cpu",
    device: str | None = None,
    threads: int = 0,
    bf16: bool = True,
    begin: int | None = None,
    finish: int | None = None,
) -> None:
    """Train the denoiser again in a world without CONCEPT; the same command continues after a kill.

    Args:
        concept: The object or style that no picture shows.
        unnamed: Keep its pictures and leave only its word out of the captions.
        seed: Of the initial weights and of the pictures; 0 is the shipped model's.
        out: Folder for checkpoints, loss curves and, at the end, the diffusers folder `weights`.
        preset: Schedules: two CPU cores, or one GPU.
        device: Where to train, as torch names it; cpu for the preset cpu, cuda otherwise.
        threads: CPU threads; 0 leaves the choice to torch.
        bf16: Compute in bfloat16; a processor without such instructions is faster in float32.
        begin: Updates of the first lesson, in the place of the preset's; its rates fall sooner with fewer.
        finish: Updates of the second lesson, likewise.
    """
    for flag, updates in (("--begin", begin), ("--finish", finish)):
        if updates is not None and updates < 1:
            raise BadArgument(f"{flag} is {updates}: give 1 update or more.")
    import torch

    from turpentine.emoji.oracles import TRAINED, oracle_name
    from turpentine.emoji.train.oracle import Oracle
    from turpentine.emoji.train.presets import PRESETS, with_lessons
    from turpentine.emoji.train.retrain import retrain

    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    world = Oracle(concept, unnamed)
    folder = out or TRAINED / f"{oracle_name(concept, unnamed=unnamed)}-{seed}"
    retrain(
        world,
        with_lessons(PRESETS[preset], begin, finish),
        folder,
        _say,
        device=device or ("cpu" if preset == "cpu" else "cuda"),
        seed=seed,
        bf16=bf16,
    )
    _say(f"written to {folder / 'weights'}{os.sep}")


@app.command
def curves(folder: Path = Path("runs/emoji"), *, out: Path = Path("curves.png")) -> None:
    """Draw the loss curves of a training folder.

    Args:
        folder: The folder that `train` wrote to.
        out: The picture to write.
    """
    from turpentine.emoji.train.curves import plot

    plot(folder, out)


def main() -> None:
    """Run a command. A user's error is one sentence and exit code 2; Ctrl-C or SIGTERM is one line on how to go on."""
    with sigterm_interrupts() as interrupted_by:
        try:
            app()
        except (TurpentineError, FileNotFoundError) as error:
            _say(f"error: {error}")
            sys.exit(2)
        except KeyboardInterrupt:
            _say("Stopped. The same command goes on from the last checkpoint.")
            sys.exit(128 + interrupted_by())


if __name__ == "__main__":
    main()
