"""Raters that are simulated: what they answer is chance around what a condition is like."""

from __future__ import annotations

import numpy as np

from turpentine.study.store import Answer, Rater
from turpentine.study.study import Study
from turpentine.study.trials import StudyTrial

LIKENESS = {"real": 4.6, "original": 4.2, "similar": 1.8, "erased": 2.2}


def simulated(
    study: Study, seed: int = 0, careless: int = 0, likeness: dict[str, float] | None = None
) -> tuple[list[Rater], list[Answer]]:
    """Return a rater for each place, the first so many of whom answer without looking, and their answers."""
    rng = np.random.default_rng(seed)
    means = LIKENESS if likeness is None else likeness
    raters, answers = [], []
    for slot in range(study.raters):
        rater = Rater(f"{slot:04x}", slot, "done")
        raters.append(rater)
        taste = rng.normal() * 0.3
        for number, trial in enumerate(study.trials(slot)):
            value = _value(trial, taste, rng, means) if slot >= careless else _any(trial, rng)
            answers.append(Answer(rater.id, number, value, int(rng.uniform(900, 5000))))
    return raters, answers


def _value(trial: StudyTrial, taste: float, rng: np.random.Generator, means: dict[str, float]) -> str:
    if trial.right_answers:
        return trial.right_answers[0]
    assert trial.unit is not None
    items = [trial.unit.items[side] for side in trial.sides]
    levels = [
        4.0 if item.role == "edited" and item.erased != item.subject else means.get(item.condition, 3.0)
        for item in items
    ]
    noise = rng.normal(size=2) * 0.8
    if trial.question.kind == "rating":
        return str(int(np.clip(round(levels[0] + taste + noise[0]), 1, 5)))
    if trial.question.kind == "presence":
        return "yes" if levels[0] + noise[0] > 3.1 else "no" if levels[0] + noise[0] < 2.9 else "unsure"
    gap = levels[0] + noise[0] - levels[1] - noise[1]
    return "left" if gap > 0.3 else "right" if gap < -0.3 else "tie"


def _any(trial: StudyTrial, rng: np.random.Generator) -> str:
    options = {"rating": ["3"], "presence": ["yes"], "choice": ["left"]}[trial.question.kind]
    return str(rng.choice(options))
