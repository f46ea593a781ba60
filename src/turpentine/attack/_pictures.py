"""Pictures of artefacts: drawn alike everywhere, and drawn and judged once by a run that goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from turpentine.core.parts import Parts
from turpentine.stats.intervals import Rate

if TYPE_CHECKING:
    from turpentine.attack.budget import ConceptJudge
    from turpentine.attack.trial import Trial
    from turpentine.attack.victim import Victim
    from turpentine.edits import Edit
    from turpentine.models import Artefact

NEW_SEEDS = 1_000_000
"""Where the seeds of new pictures begin: no search draws with them."""


def pictures_of(victim: Victim, artefact: Artefact, seeds: Sequence[int], trial: Trial) -> list[Image.Image]:
    """Return pictures of an artefact, the nth of its nth prompt (in turns) and the nth seed.

    Args:
        victim: What draws them.
        artefact: What is on it meanwhile.
        seeds: One for each picture.
        trial: How they are drawn.
    """
    prompts = [artefact.prompts[index % len(artefact.prompts)] for index in range(len(seeds))]
    with victim.on() as model, artefact.on(model):
        return list(model.generate(prompts, seeds=list(seeds), progress=False, **trial.drawing))


def new_pictures(
    victim: Victim, artefact: Artefact | Edit, prompts: Sequence[str], trial: Trial, count: int = 0
) -> list[Image.Image]:
    """Return pictures of an artefact with seeds that no search draws with.

    Args:
        victim: What draws them.
        artefact: What a search came to; an edit is put on beside the victim's own changes.
        prompts: Those that name the concept, for an edit, which has none of its own.
        trial: How they are drawn.
        count: Pictures; 0 for as many as the trial says.
    """
    from turpentine.attack.victim import Victim
    from turpentine.edits import Edit
    from turpentine.models import Artefact

    count = count or trial.pictures
    if isinstance(artefact, Edit):
        revived = Victim(victim.model, (*victim.changes, artefact))
        return pictures_of(revived, Artefact(tuple(prompts)), range(NEW_SEEDS, NEW_SEEDS + count), trial)
    return pictures_of(victim, artefact, artefact.seeds(count, NEW_SEEDS), trial)


def rate_over_prompts(outcomes: Sequence[bool], prompts: Sequence[str]) -> Rate:
    """Return how often pictures show something, with an interval over prompts where several take turns.

    Pictures of a prompt are alike: ten that fail are one finding and not ten.

    Args:
        outcomes: Of each picture, the nth of the nth prompt (in turns).
        prompts: One or more; of one the interval is over pictures.

    Example:
        >>> [f"{100 * rate_over_prompts([True, False] * 10, each).low:.0f}" for each in (("owl", "an owl"), ("owl",))]
        ['0', '30']
    """
    rate = Rate.of(outcomes, [(prompts[index % len(prompts)],) for index in range(len(outcomes))])
    assert rate is not None  # no attack draws no picture
    return rate


def judged_once(
    folder: Path | None, about: Any, draw: Callable[[], Sequence[Image.Image]], shows: ConceptJudge
) -> tuple[list[Image.Image], list[bool]]:
    """Return pictures of one size and whether each shows the concept, from a folder where they are there already.

    Args:
        folder: Where they are stored; with None they are not.
        about: All that decides them, as JSON has it.
        draw: Draws them.
        shows: The judge, of the concept.
    """
    import numpy as np
    import torch

    def work() -> dict[str, torch.Tensor]:
        pictures = draw()
        pixels = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
        return {"pictures": torch.from_numpy(pixels), "outcomes": torch.tensor(shows(pictures), dtype=torch.bool)}

    stored = Parts(folder, about).part("pictures", work)
    return [Image.fromarray(row.numpy()) for row in stored["pictures"]], stored["outcomes"].tolist()
