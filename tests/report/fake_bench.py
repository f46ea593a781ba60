"""A bench that no model worked on: a real plan and store, with renders of the emoji world as the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from bench.stubs import DESCRIPTION
from PIL import Image
from report.fake import KnowingJudge, picture_of, truth_of

from turpentine.bench import Case, Protocol, erasure_cases
from turpentine.bench.table import Table, tabulate
from turpentine.concepts import Concept
from turpentine.edits import Edit, Provenance
from turpentine.emoji.world import render
from turpentine.judges import PictureStatistics
from turpentine.runs.drawing import BatchImages, judged
from turpentine.runs.plan import Job, Plan
from turpentine.runs.results import Results, compact
from turpentine.runs.specs import Condition, DrawSpec, JudgeSpec, ModelSpec
from turpentine.runs.store import Store

SOURCE = ModelSpec("emoji", DESCRIPTION, "float32")

# How often a picture is as asked for, by method and group; what is missing is as in the unedited model.
SKILL: Mapping[str, Mapping[str, float]] = {
    "": {},
    "esd-x": {"erased": 0.05, "scene": 0.3, "neighbour": 0.6},
    "uce": {"erased": 0.2, "scene": 0.5},
    "wipe": {"erased": 0.0, "scene": 0.0, "neighbour": 0.1, "other": 0.1, "object": 0.1, "style": 0.1, "colour": 0.1},
}
USUAL = 0.9

Spoil = Callable[[str, str, int], str | None]
"""Says of a method, prompt and seed what error is in the picture's place, "blank" for a blank picture, or None."""


@dataclass(frozen=True)
class FakeBench:
    """A finished bench: its plan, folder, results and table."""

    plan: Plan
    store: Store
    results: Results
    table: Table


def fake_bench(
    folder: Path,
    concepts: Sequence[Concept] = (Concept("church"), Concept("dog")),
    skill: Mapping[str, Mapping[str, float]] = SKILL,
    cases: Callable[[Concept], Sequence[Case]] = lambda concept: erasure_cases(concept)[::3],
    spoil: Spoil = lambda method, prompt, seed: None,
    seeds: int = 4,
) -> FakeBench:
    """A bench of methods by concepts, as drawn and judged as a real one is."""
    judges = (KnowingJudge(), PictureStatistics())
    plan, store = _plan(concepts, skill, cases, seeds, tuple(map(JudgeSpec.of, judges))), Store(folder)
    groups = {case.prompt: case.group for condition in plan.conditions for case in reversed(condition.cases)}
    for edit_spec in plan.edit_specs:
        edit = Edit({"unet.mid.weight": torch.ones(8, 8)}, Provenance(edit_spec.name, {}, edit_spec.concepts))
        store.edits.put(edit_spec, edit, seconds=61.0)
    for job in plan.jobs:
        drawn_batch = _drawn(job, groups, skill, judges[0], spoil)
        store.put_batch(drawn_batch, 0.1)
        for spec, judge in zip(job.judges, judges, strict=True):
            store.scores(spec).put(plan.score_key(job, spec), judged(judge, spec, drawn_batch, [None] * len(job.batch)))
    results = compact(plan, store)
    table = tabulate(plan, pl.read_parquet(results.path), store.edits.record, title="objects of the small world")
    return FakeBench(plan, store, results, table)


def _plan(
    concepts: Sequence[Concept],
    skill: Mapping[str, Mapping[str, float]],
    cases: Callable[[Concept], Sequence[Case]],
    seeds: int,
    judges: tuple[JudgeSpec, ...],
) -> Plan:
    protocol = Protocol(seeds=tuple(range(seeds)))
    conditions = []
    for concept in concepts:
        asked = tuple(cases(concept))
        for name in skill:
            method = {"name": name.upper(), "settings": {"steps": 150, "sites": {"sites": ["a", "b"], "window": None}}}
            if name:
                conditions.append(Condition.edited(SOURCE, method, [concept], asked, protocol, judges, name=name))
            else:
                conditions.append(Condition(SOURCE, asked, protocol, judges, concepts=(concept,)))
    return Plan(conditions)


def _drawn(
    job: Job, groups: Mapping[str, str], skill: Mapping[str, Mapping[str, float]], judge: KnowingJudge, spoil: Spoil
) -> BatchImages:
    method = job.batch.draw_spec.edit_spec.name if job.batch.draw_spec.edit_spec else ""
    images, errors = [], []
    for prompt, seed in job.batch.pairs:
        fault = spoil(method, prompt, seed)
        errors.append(None if fault == "blank" else fault)
        if fault == "blank":
            images.append(Image.new("RGB", (32, 32), "white"))
            judge.told[id(images[-1])] = dict.fromkeys(judge.columns)
        else:
            images.append(None if fault else _image(job.batch.draw_spec, prompt, seed, groups, skill, judge))
    return BatchImages(job.batch, tuple(images), tuple(errors))


def _image(
    draw_spec: DrawSpec,
    prompt: str,
    seed: int,
    groups: Mapping[str, str],
    skill: Mapping[str, Mapping[str, float]],
    judge: KnowingJudge,
) -> Image.Image:
    """A render that is as asked for about as often as the method's skill says; the seed says of which pictures."""
    method, number = draw_spec.edit_spec.name if draw_spec.edit_spec else "", sum(map(ord, prompt))
    right = skill[method].get(groups[prompt], USUAL)
    is_wrong = np.random.default_rng((number, seed)).random() > right
    picture = picture_of(prompt, np.random.default_rng((number, seed, 1)), wrong=bool(is_wrong))
    image = Image.fromarray(render(picture))
    judge.told[id(image)] = truth_of(picture)
    return image
