"""Latents to pictures, and pictures to pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.imaging import as_seen

Latents = Float[Tensor, "batch channel height width"]
Pixels = Float[Tensor, "batch 3 rows columns"]

DECODED_AT_ONCE = 8 * 64 * 64
"""Pixels of latents in a call of the decoder, whose memory grows with them: eight pictures of Stable Diffusion 1.x."""


def decode_latents(decode: Callable[[Latents], Pixels], latents: Latents) -> list[Image.Image]:
    """Return the pictures of latents, calling `decode` on a few of them at a time."""
    height, width = latents.shape[-2:]
    parts = torch.split(latents, max(1, DECODED_AT_ONCE // (height * width)))
    return [image for part in parts for image in to_images(decode(part))]


def to_images(pixels: Pixels) -> list[Image.Image]:
    """Return the pictures of pixels from −1 (black) to 1; values beyond are clipped."""
    scaled = (pixels.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in (scaled * 255).round().astype(np.uint8)]


def to_pixels(images: Sequence[Image.Image]) -> Pixels:
    """Return the pixels, −1 to 1, of pictures of one size.

    Raises:
        BadArgument: There is no picture, or the sizes differ.
    """
    sizes = {image.size for image in images}
    if len(sizes) != 1:
        raise BadArgument(f"Pictures are encoded together only if they are of one size, not {len(sizes)} sizes.")
    array = np.stack([np.asarray(as_seen(image), dtype=np.float32) for image in images])
    return torch.from_numpy(array).permute(0, 3, 1, 2) / 127.5 - 1
