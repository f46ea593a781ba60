"""What changed in a picture, as numbers: where its object is, and how much of it is fine detail."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from turpentine.core.imaging import as_seen

STANDS_OUT = 60
"""How far a pixel is from the background, of 255 in its farthest channel, to belong to what stands on it."""


def foreground(image: Image.Image) -> Bool[np.ndarray, "height width"]:
    """Return where something stands out from the background, which is the median colour of the border."""
    pixels = np.asarray(as_seen(image), dtype=np.float64)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    mask: Bool[np.ndarray, "height width"] = np.abs(pixels - np.median(border, axis=0)).max(-1) > STANDS_OUT
    return mask


def overlap(a: Bool[np.ndarray, "height width"], b: Bool[np.ndarray, "height width"]) -> float:
    """Return |a ∩ b| / |a ∪ b|; 1 for two that are empty."""
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 1.0


def rank_inside(values: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"]) -> float | None:
    """Return how often a pixel inside has a larger value than one outside, ties as half (AUC).

    0.5 is chance; no threshold is in it. None where all pixels are on one side.
    """
    if mask.all() or not mask.any():
        return None
    outside = np.sort(values[~mask])
    below, up_to = (np.searchsorted(outside, values[mask], side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(outside))


def peaks_inside(values: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"]) -> bool | None:
    """Return whether the largest value is inside (the pointing game, Zhang 2018); None as for `rank_inside`."""
    return None if mask.all() or not mask.any() else bool(mask.flat[int(values.argmax())])


def power_by_radius(x: Float[np.ndarray, "channel height width"]) -> Float[np.ndarray, " radius"]:
    """Return the power spectrum without the mean, summed over channels and rings of cycles per pixel.

    Entry r is of r to r + 1 cycles along the shorter side.
    """
    centred = x - x.mean((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred)) ** 2).sum(0)
    height, width = power.shape
    shorter = min(height, width)
    down, across = (np.rint(np.fft.fftfreq(side) * side) * shorter / side for side in (height, width))
    radius = np.hypot(down[:, None], across[None]).astype(int)
    sums: Float[np.ndarray, " radius"] = np.bincount(radius.ravel(), power.ravel())
    return sums


def high_share(x: Float[np.ndarray, "channel height width"]) -> float:
    """Return the share of the power at half the highest frequency of a row, or above; 0 for a plain picture."""
    power = power_by_radius(x)
    total = float(power.sum())
    cut = min(x.shape[1:]) // 4
    return float(power[cut:].sum()) / total if total > 0 else 0.0


def channels_first(image: Image.Image) -> Float[np.ndarray, "channel height width"]:
    """Return a picture as channels of 0 to 1."""
    return np.asarray(as_seen(image), dtype=np.float64).transpose(2, 0, 1) / 255
