"""Write docs/families.md's table: what runs on each family, found out by running it on the family's toy.

python tools/families.py
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from PIL import Image

from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.core.errors import TurpentineError
from turpentine.core.plugins import plugins
from turpentine.edits import Edit, Provenance
from turpentine.judges.base import Column
from turpentine.models import Model
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import TRANSFORMERS, toy

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
KINDS = ("erase", "amplify", "instrument", "attack")

ATTENTION = ("self-attention", "cross-attention", "joint-attention", "feed-forward")

QUICK: Mapping[str, Mapping[str, Any]] = {
    "esd": {"steps": 1, "trajectories": 1, "sampling_steps": 2},
    "uce-debias": {
        "attributes": ("house", "cat"),
        "rounds": 1,
        "pictures": 1,
        "sampling_steps": 2,
        "clip_model": "emoji",
        "templates": ("{}",),
    },
    "loco-edit": {"sites": "BLOCK1"},
    "rece": {"rounds": 1},
    "diff-quickfix": {"anchor": "house"},
    "cad": {"sampling_steps": 1, "share": 0.05, "trials": 4},
    "cad-amplify": {"pictures": 1, "draws": 1, "sampling_steps": 1, "share": 0.05},
    "conceptprune": {"pairs": 1, "sampling_steps": 2, "share": 0.2, "window": (0.0, 0.5)},
    "blocks": {"top": 1, "target": "fish", "column": "shade", "steps": 1},
    "clock": {"times": ("shuffled",), "steps": 1},
    "concept-attention": {"steps": 1},
    "coar": {"kinds": ATTENTION, "trials": 20, "share": 0.3, "steps": 1},
    "contributions": {"steps": 1},
    "dynamics": {"steps": 1},
    "entangle": {"column": "shade", "steps": 1},
    "heads": {"shuffles": 5},
    "intervene": {"steps": 1},
    "locogen": {"width": 1, "target": "fish", "column": "shade", "steps": 1},
    "maps": {"steps": 1},
    "segment": {"updates": 1, "batch_size": 1},
    "trace": {"column": "brightness", "steps": 1},
    "cce": {"updates": 1, "batch": 1, "stages": 1},
    "classifier-probe": {"scales": (1.0,), "per_candidate": 1, "updates": 1, "batch": 1, "stages": 1},
    "completion": {"share": 0.5},
    "latent-inversion": {"inverted": 1, "batch": 1, "inner": 1},
    "misspellings": {"candidates": 1, "per_candidate": 1},
    "mma": {"tokens": 2, "updates": 1, "candidates": 2, "top_k": 2, "stages": 1},
    "noise-probe": {"etas": (1.5,), "scales": (1.0,), "per_candidate": 1},
    "p4d": {"tokens": 2, "updates": 1, "pool": 1, "judge_every": 1, "stages": 1},
    "paraphrases": {"templates": ("red {}",), "per_candidate": 1},
    "prompt-list": {"prompts": PAGE.parents[1] / "tests" / "contract" / "prompts.csv", "stages": 1},
    "random-prefix": {"candidates": 1, "per_candidate": 1},
    "relearning": {"updates": 1, "batch": 1, "stages": 1},
    "revival": {"rank": 1, "rounds": 1},
    "ring-a-bell": {"tokens": 2, "population": 2, "generations": 1, "stages": 1},
    "seed-search": {"seeds": 1},
    "sneakyprompt": {"queries": 1, "pieces": 1, "letters": 4, "width": 4, "stages": 1, "towers": "emoji"},
    "unlearndiffatk": {"tokens": 1, "timesteps": 1, "iterations": 1, "stages": 1},
}
"""Settings that are quick on a toy, by plug-in; a variant has those of the method that it is of."""

OF_JOINT_BLOCKS = ("concept-attention",)
"""What no UNet can run; of all else contracts hold that it runs there."""

GROUPS = {"animals": ("dog", "cat", "fish"), "vehicles": ("car", "truck"), "colours": ("red", "blue", "green")}


class Brightness:
    """A judge of toys' pictures, which show nothing."""

    name, revision, settings, needs, download = "brightness", "1", None, frozenset(), None
    columns: ClassVar = {"brightness": Column(0.0, 255.0), "shade": Column(labels=("dark", "light"))}

    def __call__(self, images: Any, *, prompts: Any = None, references: Any = None) -> pl.DataFrame:
        """Return how bright pictures are."""
        means = [float(np.asarray(image).mean()) for image in images]
        return pl.DataFrame({"brightness": means, "shade": ["light" if mean > 127 else "dark" for mean in means]})


def refusal(name: str, model: Model) -> str:
    """Return the sentence by which a plug-in is refused on a model, "" where it runs."""
    plugin = plugins(KINDS)[name]
    kind = plugin.load()
    quick = QUICK.get(kind.name, {})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = kind(**{**quick, **plugin.variant})
            if plugin.kind == "instrument":
                _measure(name, made, model)
            elif plugin.kind == "attack":
                _attack(made, model)
            else:
                made(model, Concept("church"))
    except TurpentineError as error:
        return str(error)
    return ""


def _attack(attack: Any, model: Model) -> None:
    """Attack an edit of what reads the text; the pictures of its concept are of one colour."""
    name = next(iter(model.family.readers().values())).parameters()[0]
    edit = Edit({name: torch.full_like(model.parameter(name), 0.1)}, Provenance(base=model.fingerprint))
    given = {"original": model, "references": [Image.new("RGB", model.size[::-1], "teal")], "judge": CoinJudge()}
    attack(Victim(model, (edit,)), "church", trial=Trial(steps=2, pictures=1, original_rate=0), **given)


def _measure(name: str, instrument: Any, model: Model) -> None:
    judge = Brightness()
    match name:
        case "heads":
            instrument(model, GROUPS)
        case "segment":
            instrument(model, [Image.new("RGB", model.size[::-1], "teal")], concept=["a church"])
        case "entangle":
            instrument(model, {"dark": ("dog", "church")}, [0], judge=judge)
        case "clock" | "intervene":
            instrument(model, ["a church"], [0], judge=judge)
        case "trace":
            instrument(model, ["a church"], [0], concept="church", judge=judge)
        case "locogen" | "blocks":
            instrument(model, ["a church"], [0], concept="church", label="light", judge=judge)
        case _:
            instrument(model, ["a church"], [0])


def refusals(
    families: Iterable[str] = TRANSFORMERS, is_run: Callable[[str, str], bool] = lambda name, family: True
) -> dict[str, dict[str, str]]:
    """Return the sentences by plug-in and family, "" where it runs. Contracts hold that all run on the others.

    Args:
        families: By the names of their toys.
        is_run: Is a plug-in run on a family? Where not, it counts as running.
    """
    models = {family: toy(family) for family in families}
    return {
        name: {family: refusal(name, model) if is_run(name, family) else "" for family, model in models.items()}
        for name in plugins(KINDS)
    }


def refused_by(text: str) -> set[tuple[str, str]]:
    """Return the plug-ins and families between which a page has a "no"."""
    table = text.partition("<!-- tables -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    cells = [
        (names, family, cell) for names, _, *rest in rows for family, cell in zip(TRANSFORMERS, rest, strict=False)
    ]
    return {(name, family) for names, family, cell in cells for name in names.split(", ") if cell == "no"}


def tables(found: Mapping[str, Mapping[str, str]]) -> str:
    """Return what runs, a line for the names that run alike of one class, and why the others do not."""
    families = list(next(iter(found.values())))
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, plugin in plugins(KINDS).items():
        cells = tuple("no" if found[name][family] else "yes" for family in families)
        groups.setdefault((plugin.kind, plugin.class_name, *cells), []).append(name)
    titles = [toy(family).describe()["family"] for family in families]
    lines = [
        f"| method, instrument or attack | Stable Diffusion 1, 2, SDXL | {' | '.join(map(str, titles))} |",
        f"|---|---|{'---|' * len(families)}",
    ]
    ordered = sorted(groups.items(), key=lambda item: KINDS.index(item[0][0]))
    lines += [
        f"| {', '.join(names)} | {'no' if names[0] in OF_JOINT_BLOCKS else 'yes'} | {' | '.join(key[2:])} |"
        for key, names in ordered
    ]
    whys: dict[str, list[str]] = {}
    for name, sentences in found.items():
        for sentence in filter(None, sentences.values()):
            whys.setdefault(sentence, []).append(name)
    lines += ["", "| not | because |", "|---|---|"]
    lines += [f"| {', '.join(dict.fromkeys(names))} | {sentence} |" for sentence, names in whys.items()]
    return "\n".join(lines) + "\n"


def page(text: str, table: str) -> str:
    """Return the page with its tables."""
    before, _, rest = text.partition("<!-- tables -->\n")
    _, mark, after = rest.partition("<!-- /tables -->\n")
    return f"{before}<!-- tables -->\n{table}{mark}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), tables(refusals())), encoding="utf-8")
