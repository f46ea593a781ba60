"""An erasure that never happened: renders of the emoji world as the pictures, and a judge that knows what was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from bench.stubs import DESCRIPTION
from PIL import Image

from turpentine.bench import Case, ErasureResult, Plan, Protocol, Store, erasure_cases, tabulate
from turpentine.bench.effects import MOVED
from turpentine.bench.metrics import Goal
from turpentine.bench.run_file import RunFile
from turpentine.bench.table import HITS
from turpentine.concepts import Concept
from turpentine.edits import Edit, Provenance
from turpentine.emoji.captions import single_picture
from turpentine.emoji.world import COLOURS, OBJECTS, SCENES, STYLES, TEN, WORKS, Picture, render, sprites
from turpentine.judges import PictureStatistics
from turpentine.judges.base import LABEL, Column
from turpentine.judges.pixel_change import PixelChange
from turpentine.runs.drawing import BatchImages, judged
from turpentine.runs.results import compact
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec

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
        self.images: list[Image.Image] = []

    def __call__(self, images: Sequence[Image.Image], **_: Any) -> pl.DataFrame:
        return pl.DataFrame([self.told[id(image)] for image in images], schema=dict.fromkeys(self.columns, pl.String))


def fake_result(
    folder: Path,
    concept: Concept | None = None,
    cases: Sequence[Case] | None = None,
    seeds: int = 8,
    goal: Goal = "erase",
    is_swapped: bool = False,
) -> ErasureResult:
    """As `run_erasure` gives it, from renders: before 85 % are right; after, few of the erased.

    is_swapped: the other way round.
    """
    concept = concept or Concept("church")
    cases = tuple(cases if cases is not None else erasure_cases(concept))
    judge = KnowingJudge()
    specs = {JudgeSpec.of(one): one for one in (judge, PictureStatistics(), PixelChange())}
    source = ModelSpec("emoji", DESCRIPTION, "float32")
    common = (cases, Protocol(seeds=tuple(range(seeds))), tuple(specs))
    edited = Condition.edited(source, METHOD, [concept], *common, name="ESD")
    plan, store = Plan([Condition(source, *common, concepts=(concept,)), edited]), Store(folder / ".store")
    edit = Edit({"unet.mid.weight": torch.ones(320, 100)}, Provenance("ESD", {}, (concept,)))
    store.edits.put(plan.edit_specs[0], edit, seconds=28.1)
    store.begin(plan)
    groups = {case.prompt: case.group for case in reversed(cases)}
    for job in plan.jobs:
        is_after = (job.batch.draw_spec.edit_spec is not None) != is_swapped
        images = [_image(groups, judge, prompt, seed, is_after) for prompt, seed in job.batch.pairs]
        drawn_batch = BatchImages(job.batch, tuple(images), (None,) * len(images))
        store.put_batch(drawn_batch, 1.0)
        for spec, one in specs.items():
            references = store.references(plan, job, drawn_batch) if spec.needs else ()
            store.scores(spec).put(plan.score_key(job, spec), judged(one, spec, drawn_batch, references))
    about = {
        "model": dict(_MODEL),
        "judges": [{"name": spec.name, "settings": dict(spec.settings)} for spec in specs],
        "measures": [asdict(measure) for measure in (HITS, MOVED)],
        "versions": {"turpentine": "0.1.0", "torch": "2.13.0"},
    }
    identity = {"method": dict(METHOD), "model": dict(DESCRIPTION), "protocol": edited.comparable, "goal": goal}
    run = RunFile(identity, about, "2025-11-22T08:00:00+00:00", seconds={"erase": 28.1, "before": 41.0, "after": 42.2})
    rows = compact(plan, store).frame
    table = tabulate(plan, rows, store.edits.record, measures=(HITS, MOVED), goal=goal, summaries=True)
    return ErasureResult(folder, (concept,), edit, table, rows, store, run)


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


def _image(groups: Mapping[str, str], judge: KnowingJudge, prompt: str, seed: int, is_after: bool) -> Image.Image:
    number = list(groups).index(prompt)
    right = {"erased": 0.03, "scene": 0.5}.get(groups[prompt], 0.8) if is_after else 0.85
    is_wrong = bool(np.random.default_rng((number, seed)).random() > right)
    picture = picture_of(prompt, np.random.default_rng((number, seed, 1)), wrong=is_wrong)
    image = Image.fromarray(render(picture))
    judge.told[id(image)] = truth_of(picture)
    judge.images.append(image)  # whose id is then no other one's
    return image


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
