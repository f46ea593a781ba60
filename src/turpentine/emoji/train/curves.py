"""Plot the loss curves of a training folder."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float

STAGES = ("autoencoder", "towers", "judge", "unet", "finish")


def read_log(path: Path) -> dict[str, Float[np.ndarray, " updates"]]:
    """Read the columns of a stage's log: step, loss, seconds."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in ("step", "loss", "seconds")}


def smoothed(values: Float[np.ndarray, " updates"], width: int = 50) -> Float[np.ndarray, " updates"]:
    """Return the running mean of the last `width` values."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: Float[np.ndarray, " updates"] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def plot(folder: Path, out: Path) -> None:
    """Plot the losses of all stages in `folder` to the file `out`.

    Raises:
        FileNotFoundError: There is no log.
    """
    logs = {stage: read_log(folder / f"{stage}.csv") for stage in STAGES if (folder / f"{stage}.csv").exists()}
    if not logs:
        raise FileNotFoundError(f"{folder} holds no training log: give the folder that train wrote to.")
    figure, axes = plt.subplots(1, len(logs), figsize=(3.4 * len(logs), 2.8), layout="constrained", squeeze=False)
    for axis, (stage, log) in zip(axes[0], logs.items(), strict=True):
        axis.plot(log["step"], log["loss"], color="#c9d6e8", linewidth=0.6)
        axis.plot(log["step"], smoothed(log["loss"]), color="#1f4e8c", linewidth=1.4)
        axis.set(title=f"{stage}, {log['seconds'][-1] / 60:.0f} min", xlabel="update", yscale="log")
        axis.set_ylim(0.9 * smoothed(log["loss"]).min(), 1.1 * smoothed(log["loss"])[5:].max())
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("loss")
    figure.savefig(out, dpi=160)
    plt.close(figure)
