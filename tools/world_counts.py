"""What a trained world draws, as the shipped judge sees it, and how its losses fell: the facts of `world_card.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from card_cases import cases
from diffusers import DiffusionPipeline
from PIL import Image
from world_session import Session

import turpentine as tp
from turpentine.emoji.judge_network import ANSWERS, JudgeNet, load_judge
from turpentine.emoji.train.update import building
from turpentine.tasks.cases import Case

Draw = Callable[[list[str], list[int]], list[Image.Image]]
"""Prompts and a seed for each to pictures."""


def logs(folder: Path) -> dict[str, object]:
    """Return each stage's number of updates, seconds, and its loss in sixty means."""
    stages: dict[str, object] = {}
    for path in sorted(folder.glob("*.csv")):
        rows = np.genfromtxt(path, delimiter=",", names=True)
        curve = [round(float(part.mean()), 5) for part in np.array_split(rows["loss"], 60) if len(part)]
        seconds = float(rows["seconds"][-1])
        stages[path.stem] = {"updates": len(rows), "seconds": seconds, "last": curve[-1], "curve": curve}
    return {"stages": stages}


def facts_of(session: Session, folder: Path) -> dict[str, object]:
    """Return a training's facts: what the model in its folder draws, and how its stages went."""
    return {**rates(session, drawer(session, folder / "weights")), **logs(folder)}


def drawer(session: Session, source: str | Path) -> Draw:
    """Return what draws prompts by seeds with a model."""
    with building:
        model = tp.load(source, device=session.device)
    steps = steps_of(session)

    def draw(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        return list(model.generate(prompts, seeds=seeds, steps=steps, batch_size=len(prompts), progress=False))

    return draw


def pipeline_drawer(session: Session, pipe: DiffusionPipeline) -> Draw:
    """Return what draws prompts by seeds with a pipeline of the small transformer."""
    pipe.set_progress_bar_config(disable=True)

    def draw(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        noise = torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        images: list[Image.Image] = pipe(
            prompts,
            latents=noise.to(session.device),
            num_inference_steps=steps_of(session),
            guidance_scale=4.0,
            output_type="pil",
        ).images
        return images

    return draw


def steps_of(session: Session) -> int:
    """Return the steps of a picture."""
    return 2 if session.tiny else 20


def rates(session: Session, draw: Draw) -> dict[str, object]:
    """Return the hits of each label, and the pictures drawn for it, by kind."""
    with building:
        judge = load_judge()
    rows = [(case, seed) for case in world_cases() for seed in range(session.seeds)]
    hits: dict[str, dict[str, list[int]]] = {}
    for start in range(0, len(rows), 250):
        part = rows[start : start + 250]
        images = draw([case.prompt for case, _ in part], [seed for _, seed in part])
        for (case, _), hit in zip(part, hits_of(judge, [case for case, _ in part], images), strict=True):
            count = hits.setdefault(case.group, {}).setdefault(case.label, [0, 0])
            count[0] += int(hit)
            count[1] += 1
    return {"hits": hits}


def world_cases() -> list[Case]:
    """Return what a world's card counts: all that the embedded model's does but its works, which are its own."""
    groups = {"ten": "object", "rest": "object", "unseen": "unseen pair"}
    return [replace(case, group=groups.get(case.group, case.group)) for case in cases() if case.group != "work"]


def hits_of(judge: JudgeNet, part: list[Case], images: list[Image.Image]) -> list[bool]:
    """Return whether each picture shows what it should."""
    answers = judge.probabilities(images)
    best = {a: [ANSWERS[a][i] for i in values.argmax(1).tolist()] for a, values in answers.items()}
    top = [{ANSWERS["object"][i] for i in row} for row in answers["object"].topk(2).indices.tolist()]
    return [is_hit(case, {a: values[n] for a, values in best.items()}, top[n]) for n, case in enumerate(part)]


def is_hit(case: Case, best: Mapping[str, str], two: set[str]) -> bool:
    """Return whether the judge's best answers, or its best two objects, are what a case expects."""
    if case.group == "two":
        return two == set(case.label.split(", "))
    assert case.attribute  # all others have a truth
    style = case.label.partition(", ")[2]
    return best[case.attribute] == case.expected and (case.group != "unseen pair" or best["style"] == style)
