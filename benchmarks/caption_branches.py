"""Captions drawn with the same seeds, untouched and under interventions, from parts that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import turpentine as tp
from turpentine.core.parts import Parts
from turpentine.explain._branches import Branches, draw_branches
from turpentine.models.branches import Intervention


def caption_branches(
    model: tp.Model,
    interventions: Mapping[str, Intervention],
    captions: Sequence[str],
    seeds: int,
    keep: Path,
    about: Sequence[Any],
    *,
    steps: int,
    rows: int = 256,
) -> Branches:
    """Draw each caption with the seeds from 0, a caption after the other.

    Args:
        model: The model.
        interventions: By name.
        captions: What is drawn.
        seeds: How many pictures of each.
        keep: Folder of what is finished.
        about: What decides the pictures beside captions, seeds and interventions.
        steps: Of a picture.
        rows: Of the denoiser in a call, at most.
    """
    prompts = [caption for caption in captions for _ in range(seeds)]
    numbers = [*range(seeds)] * len(captions)
    parts = Parts(keep, list(about))
    how = {"steps": steps, "guidance_scale": 4.0, "rows": rows, "parts": parts}
    return draw_branches(model, interventions, prompts, numbers, **how)
