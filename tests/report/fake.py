"""An erasure that never happened: renders of the emoji world as the pictures, and a judge that knows what was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from bench.stubs import DESCRIPTION
from PIL import Image

from turpentine.bench import Case, ErasureResult, Measurement, Protocol, compare, erasure_cases
from turpentine.bench.run_file import RunFile
from turpentine.concepts import Concept
from turpentine.edits import Edit, Provenance
from turpentine.emoji.captions import single_picture
from turpentine.emoji.world import COLOURS, OBJECTS, SCENES, STYLES, TEN, WORKS, Picture, render, sprites
from turpentine.judges import Judge, PictureStatistics
from turpentine.judges.base import LABEL, Column
from turpentine.runs.rows import rows_of
from turpentine.runs.specs import Cell, JudgeSpec, Source

METHOD = {"name": "ESD", "settings": {"sites": "x", "eta": 1.0, "steps": 150, "window": [0.0, 1.0], "erase_from": None}}


class KnowingJudge:
    """Says what it was told that each picture shows."""

    name = "emoji"
    revision = "0" * 64
    settings: Mapping[str, Any] = {}
    needs: frozenset[str] = frozenset()
    columns: Mapping[str, Column] = dict.fromkeys(("object", "style", "colour", "work", "artist"), LABEL)
    download: str | None = None

    def __init__(self) -> None:
        self.told: dict[int, dict[str, Any]] = {}

    def __call__(self, images: Sequence[Image.Image], **_: Any) -> pl.DataFrame:
        return pl.DataFrame([self.told[id(image)] for image in images], schema=dict.fromkeys(self.columns, pl.String))


def fake_result(
    folder: Path, concept: Concept | None = None, cases: Sequence[Case] | None = None, seeds: int = 8
) -> ErasureResult:
    """As `run_erasure` gives it, from renders: before 85 % are right; after, few of the erased."""
    concept = concept or Concept("church")
    cases = list(cases if cases is not None else erasure_cases(concept))
    protocol, judge = Protocol(seeds=tuple(range(seeds))), KnowingJudge()
    before, after = (_measurement(cases, protocol, judge, phase) for phase in (0, 1))
    run = RunFile(
        folder / "run.json",
        {"method": dict(METHOD), "model": dict(DESCRIPTION), "protocol": before.protocol},
        {"model": dict(_MODEL), "versions": {"turpentine": "0.1.0", "torch": "2.13.0"}},
        started="2025-11-22T08:00:00+00:00",
        seconds={"erase": 28.1, "before": 41.0, "after": 42.2},
    )
    edit = Edit({"unet.mid.weight": torch.ones(320, 100)}, Provenance("ESD", {}, (concept,)))
    return ErasureResult(folder, (concept,), edit, before, after, compare(before, after), run)


_MODEL = {
    "name": "emoji",
    "family": "Stable Diffusion",
    "prediction": "epsilon",
    "picture": "32 x 32",
    "tokens": 32,
    "parameters": 17_300_000,
    "device": "cpu",
    "dtype": "float32",
}


def _measurement(cases: list[Case], protocol: Protocol, judge: KnowingJudge, phase: int) -> Measurement:
    images = {}
    for number, prompt in enumerate(dict.fromkeys(case.prompt for case in cases)):
        group = next(case.group for case in cases if case.prompt == prompt)
        for seed in protocol.seeds:
            right = (0.85, {"erased": 0.03, "scene": 0.5}.get(group, 0.8))[phase]
            rng = np.random.default_rng((number, seed))
            picture = picture_of(prompt, np.random.default_rng((number, seed, 1)), wrong=rng.random() > right)
            images[prompt, seed] = Image.fromarray(render(picture))
            judge.told[id(images[prompt, seed])] = truth_of(picture)
    judges = (judge, PictureStatistics())
    cell = Cell(Source("emoji", DESCRIPTION, "float32"), tuple(cases), protocol, tuple(map(JudgeSpec.of, judges)))
    return Measurement(rows_of(cell, _seen(images, judges)), images, cell.comparable)


def _seen(images: Mapping[tuple[str, int], Image.Image], judges: Sequence[Judge]) -> pl.DataFrame:
    """What the judges see, a row for each picture."""
    prompts, seeds = zip(*images, strict=True)
    asked = pl.DataFrame({"state": 0, "prompt": prompts, "seed": seeds, "error": None})
    asked = asked.cast({"state": pl.Int32, "seed": pl.Int64, "error": pl.String})
    return pl.concat([asked, *(judge(list(images.values())) for judge in judges)], how="horizontal")


def picture_of(prompt: str, rng: np.random.Generator, wrong: bool) -> Picture:
    """A picture as a prompt asks for it, or of another object."""
    work = next((work for work in WORKS if work.title in prompt), None)
    if work and not wrong:
        return work.picture
    named = {scene: obj for scene, obj in SCENES.items() if scene in prompt}
    obj = next(iter(named.values()), None) or next((obj for obj in OBJECTS if f" {obj} " in f" {prompt} "), TEN[3])
    if wrong:
        obj = str(rng.choice(TEN))
    style = next((style for style in STYLES if f"{style} style" in prompt and (obj, style) in sprites()), None)
    colour = next((colour for colour in COLOURS if f"{colour} background" in prompt), None)
    return single_picture(rng, obj, style, colour)


def truth_of(picture: Picture) -> dict[str, Any]:
    """What a judge that makes no mistake sees in a picture."""
    work = next((work for work in WORKS if work.picture == picture), None)
    return {
        "object": picture.placed[0].object,
        "style": picture.placed[0].style,
        "colour": picture.background,
        "work": work.title if work else None,
        "artist": picture.artist,
    }
