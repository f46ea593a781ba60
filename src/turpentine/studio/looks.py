"""What the page shows of a picture: maps of its words, what each layer does when, and how it comes into being."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image

from turpentine.explain.dynamics import CHANGE, WORDS, Dynamics
from turpentine.explain.intervene import QUARTERS, Intervene
from turpentine.explain.maps import Maps
from turpentine.models import Model
from turpentine.report.pictures import data_uri
from turpentine.studio.state import PageState

DARK = (22, 25, 23)
"""What lies over the parts of a picture that a word does not look at."""
DARKEST = 0.86
LAYERS_AT_ONCE = 2
"""Layers whose pictures are drawn together: few, so that what a stop leaves is worth having."""
PARTS = ("0–10 %", "10–30 %", "30–60 %", "60–100 %")
"""The windows of the steps, as the page calls them."""


def word_maps(model: Model, state: PageState) -> dict[str, Any]:
    """Return the picture, and for each word of the prompt where it was looked at, as a shade over the picture.

    Args:
        model: With what is on it.
        state: Whose prompt and seed are drawn.

    Raises:
        BadArgument: The prompt has no word, or is too long.
    """
    finding = Maps(**state.drawing())(model, [state.prompt], [state.seed], progress=None)
    heats, image = finding.heats[0], finding.images[0]
    scores = {row["word"]: row for row in finding.table.rows(named=True)}
    words = [
        {"word": word, "shade": _uri(shade(heat, image.size)), "mass": scores[word]["mass"], "auc": scores[word]["auc"]}
        for word, heat in heats.items()
    ]
    first = _concept_at(list(heats), state.concept)
    return {"picture": data_uri(image), "words": words, "first": first, "summary": _ranked(words, first)}


def _concept_at(words: Sequence[str], concept: str) -> int:
    """Return which word is of the concept, the last one where none is: a prompt ends with what it is about."""
    own = set(concept.lower().split())
    return next((place for place, word in enumerate(words) if word.lower() in own), len(words) - 1)


def _ranked(words: Sequence[Mapping[str, Any]], first: int) -> str:
    """Say how well the concept's word, and the best one, rank what stands out from the background."""
    ranked = [each for each in words if each["auc"] is not None]
    if not ranked:
        return "Nothing stands out from the background, for a map to be held against."
    best, own = max(ranked, key=lambda each: each["auc"]), words[first]
    if best is own:
        return f"“{own['word']}” ranks what stands out above the background best of all words: AUC {own['auc']:.2f}."
    return (
        f"“{own['word']}” ranks what stands out above the background with an AUC of {own['auc']:.2f}; best of all "
        f"words does “{best['word']}”, with {best['auc']:.2f}. 0.5 is chance."
    )


def shade(heat: Float[np.ndarray, "height width"], size: tuple[int, int]) -> Image.Image:
    """Return what lies over a picture so that a word's map stands out: clear where it is most, dark where least.

    Example:
        >>> shade(np.array([[0.0, 1.0]]), (2, 1)).getextrema()[3]
        (0, 219)
    """
    least, most = float(heat.min()), float(heat.max())
    share = (heat - least) / (most - least) if most > least else np.ones_like(heat)
    clear = Image.fromarray(share.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    alpha = np.rint(255 * DARKEST * (1 - np.asarray(clear).clip(0, 1))).astype(np.uint8)
    pixels = np.dstack([np.full_like(alpha, each) for each in DARK] + [alpha])
    return Image.fromarray(pixels, "RGBA")


def labels_of(model: Model) -> list[str]:
    """Return the labels of a model's cross-attention modules, in order of execution."""
    return [site.label for site in model.sites.only(kind="cross-attention", level="module")]


def layer_letters(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the interventions that sever each layer in each window."""
    return tuple(f"q{window}:{label}" for label in labels for window in QUARTERS)


def layer_map(model: Model, state: PageState, cache: Path) -> dict[str, Any]:
    """Return what becomes of the picture without one layer in one part of the steps, for all layers and parts.

    Args:
        model: With what is on it.
        state: Whose prompt and seed are drawn.
        cache: Of finished layers, from which it goes on after a stop.

    Raises:
        BadArgument: The prompt is too long.
    """
    labels, cells = labels_of(model), dict[str, Any]()
    picture = ""
    for start in range(0, len(labels), LAYERS_AT_ONCE):
        letters = layer_letters(labels[start : start + LAYERS_AT_ONCE])
        finding = Intervene(letters=letters, **state.drawing())(
            model, [state.prompt], [state.seed], cache=cache, progress=None
        )
        lost = _lost(finding.table)
        picture = data_uri(finding.images["untouched"][0])
        for code in letters:
            idle = finding.is_idle(code)
            cells[code] = {"lost": lost[code], "idle": idle, "picture": data_uri(finding.images[code][0])}
    return {"picture": picture, "labels": labels, "windows": list(QUARTERS), "cells": cells, "summary": _most(cells)}


def layer_rows(model: Model, state: PageState) -> int:
    """Return about how many rows of the denoiser the map of layers takes."""
    count = len(labels_of(model))
    begun = (0.0, 0.1, 0.3, 0.6)
    each = sum(state.steps - round(state.steps * start) for start in begun)
    return 2 * (count * each + state.steps * -(-count // LAYERS_AT_ONCE))


def dynamics(model: Model, state: PageState) -> dict[str, Any]:
    """Return the picture after each step, how much each step changes, and how much the words are read in it.

    Args:
        model: With what is on it.
        state: Whose prompt and seed are drawn.

    Raises:
        BadArgument: The prompt is too long.
    """
    finding = Dynamics(strip=state.steps, **state.drawing())(model, [state.prompt], [state.seed], progress=None)
    return {
        "strip": [data_uri(image) for image in finding.strip],
        "change": _curve(finding.table, CHANGE),
        "words": _curve(finding.table, WORDS),
        "summary": finding.summary(),
    }


def _curve(table: pl.DataFrame, measure: str) -> list[float]:
    values: list[float] = table.filter(pl.col("measure") == measure).sort("step")["value"].to_list()
    return values


def _lost(table: pl.DataFrame) -> Mapping[str, float]:
    rows = table.filter(pl.col("measure") == "layout")
    return {code: 1 - value for code, value in zip(rows["letters"], rows["value"], strict=True)}


def _most(cells: Mapping[str, Any]) -> str:
    """Say in which layer and when severing changes most, where it changes anything."""
    code, cell = max(cells.items(), key=lambda item: item[1]["lost"])
    if cell["lost"] <= 0:
        return "No layer alone, severed in one part of the steps, changes the layout of this picture."
    window, _, label = code[1:].partition(":")
    return (
        f"Without {label} in {PARTS[QUARTERS.index(window)]} of the steps the layout changes most: "
        f"{100 * cell['lost']:.0f} % of what stands out is elsewhere."
    )


def _uri(image: Image.Image) -> str:
    """Return a picture with its transparency as a URI."""
    import base64

    from turpentine.core.imaging import encoded

    return f"data:image/png;base64,{base64.b64encode(encoded(image, 'PNG')).decode()}"
