"""What the benchmarks measure by themselves, against numbers that are known."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from turpentine.bench.lines import TableColumn
from turpentine.concepts import Concept
from turpentine.emoji.world import PALETTES, TINTABLE, WORKS, held_out_tints, styles_of, visible_on
from turpentine.models import Model
from turpentine.models.branches import run_branches

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(request.param)


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("script", [name], indirect=True)


@of("noise")
@pytest.mark.parametrize(
    ("seed", "caption", "own", "expected"), [(1, 0, 0, 1), (0, 1, 0, 0), (0, 0, 1, 0), (1, 0, 1, 0.5)]
)
def test_the_noise_has_its_share_of_the_variance(
    seed: float, caption: float, own: float, expected: float, script: ModuleType
) -> None:
    """Of features that are a sum of what seeds, captions and neither decide."""
    rng = np.random.default_rng(0)
    by_seed, by_caption, left = (rng.normal(size=size) for size in ((1, 30, 40), (20, 1, 40), (20, 30, 40)))
    found = script.share(seed * by_seed + caption * by_caption + own * left)
    assert found.value == pytest.approx(expected, abs=0.03)
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9


@of("course")
def test_a_change_at_the_object_is_the_part_of_it_that_lies_there(script: ModuleType) -> None:
    mask = np.zeros((32, 32), bool)
    mask[:, :16] = True
    inside = script.shrunk(mask, 8)
    assert inside.shape == (8, 8) and inside[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert script.part(np.ones((8, 8)), inside) == 0.5 and script.part(inside, inside) == 1


@of("course")
def test_what_is_added_is_ranked_where_it_is(script: ModuleType) -> None:
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    added = np.zeros((4, 4))
    added[1:3, 1:3] = 1
    assert script.rank(added, mask) == 1 and script.rank(-added, mask) == 0
    assert script.rank(np.ones((1, 1)), mask) is None, "one pixel has no places"


@of("course")
def test_edges_are_where_a_picture_changes(script: ModuleType) -> None:
    image = Image.fromarray(np.repeat(np.where(np.arange(32) < 16, 0, 255)[None], 32, 0).astype(np.uint8)).convert(
        "RGB"
    )
    edges = script.edges_of(image)
    assert edges[:, 15:17].all() and edges.sum() == 64


@of("verdicts")
def test_verdicts_are_counted_in_percent_the_most_frequent_first(script: ModuleType) -> None:
    assert script.shares(Counter({"gone": 1, "hidden": 3})) == "hidden 75, gone 25"


@of("tints")
def test_captions_name_two_colours_that_training_shows(script: ModuleType) -> None:
    every = script.captions(24)
    assert len({each.prompt for each in every}) == 24 and len({each.object for each in every}) == 12
    for each in every:
        assert each.tint != each.colour and each.object in TINTABLE
        assert (each.object, each.tint) not in held_out_tints()
        assert all(each.colour in visible_on(each.object, style, each.tint) for style in styles_of(each.object))
    assert every[0].prompt.startswith("a ") and every[0].prompt.endswith(" background")


@of("artists")
def test_every_work_is_asked_for_in_its_artists_column(script: ModuleType) -> None:
    assert script.COLUMNS[:-1] == tuple(PALETTES)
    works = [(prompt, column) for prompt, column, attribute, _ in script.ASKED if attribute == "work"]
    assert works == [(work.caption, work.artist) for work in WORKS]
    assert sum(column == script.OBJECTS for _, column, _, _ in script.ASKED) == 10


@of("tables")
def test_edits_from_several_seeds_are_one_line(script: ModuleType, tmp_path: Path) -> None:
    methods = {"cad": [True] * 4, "cad seed=1": [False] * 4, "uce": [True] * 4, "": [True] * 4}
    rows = [(method, "dog", "erased", hit) for method, hits in methods.items() for hit in hits]
    rows += [(method, "dog", "other", True) for method in methods]
    pl.DataFrame(rows, ["method", "concept", "group", "hit"], orient="row").write_parquet(tmp_path / "results.parquet")
    shown = [TableColumn(group, "rate of hit", "lower", True) for group in ("erased", "other")]
    (line,) = script.over_seeds(tmp_path, shown)
    assert line[0] == "cad, 2 seeds" and [cell.split()[0] for cell in line[1:]] == ["50", "100"]
    low, high = (int(end) for end in line[1].split("(")[1].rstrip(")").split("–"))
    assert low == 0 and high == 100, "which edit it is decides all"
    assert script.over_seeds(tmp_path / "none", shown) == []


@of("overlap")
def test_what_two_traces_share_is_over_all_that_either_has(script: ModuleType) -> None:
    effects = np.zeros((4, 20))
    effects[:, :6] = np.arange(6, 0, -1)
    shifted = np.roll(effects, 3, axis=1)
    assert script.jaccard(effects, effects) == 1 and script.jaccard(effects, shifted) == 3 / 9
    assert script.with_interval(script.jaccard, effects, shifted) == (3 / 9, 3 / 9, 3 / 9), "captions are all alike"
    assert script.between_halves(script.jaccard, effects).value == 1


@of("cascade")
def test_the_last_module_of_a_step_has_nothing_after_it(script: ModuleType, whole_sd1: Model) -> None:
    """In one step all that it does is its own; what the first does goes through the others as well."""
    some = {name: one for name, one in script.interventions(whole_sd1).items() if name.endswith(("DOWN1", "UP9"))}
    cond, empty = whole_sd1.encode(["a church"]), whole_sd1.encode([""])
    untouched, runs = run_branches(
        whole_sd1, list(some.values()), cond, empty, whole_sd1.noise([0]), steps=1, guidance_scale=4.0
    )
    latents = dict(zip(some, runs, strict=True))
    assert torch.equal(latents["UP9"], latents["held: UP9"]) and not torch.equal(latents["UP9"], untouched)
    assert not torch.allclose(latents["DOWN1"], latents["held: DOWN1"], atol=1e-6)


@of("cascade")
def test_the_modules_own_share_is_of_what_is_lost(script: ModuleType) -> None:
    left = {"A": 0.6, "B": 0.8, "held: A": 0.8, "held: B": 0.9}
    rows = [(name, prompt, value) for name, value in left.items() for prompt in ("a dog", "a cat")]
    table = pl.DataFrame(rows, ["letters", "prompt", "layout"], orient="row")
    assert script.own_share(table, ["A", "B"]).value == pytest.approx(0.5)


@of("scored")
def test_esd_of_some_weights_leaves_the_others(script: ModuleType, sd1: Model) -> None:
    own = sd1.sites.only(kind="feed-forward", level="module").parameters()
    name = next(each for each in own if each.endswith("weight"))
    mask = torch.zeros(sd1.parameter(name).shape, dtype=torch.bool)
    mask[0, :2] = True
    few = {"sites": "feed-forward", "steps": 2, "trajectories": 1, "sampling_steps": 2, "lr": 0.1}
    edit = script.PartOfESD.of({name: mask})(**few)(sd1, Concept("a church"))
    assert edit.names == (name,) and torch.equal(edit.deltas[name] != 0, mask)
    moved = script.shuffled({name: mask})[name]
    assert moved.sum() == mask.sum() and moved.shape == mask.shape and not torch.equal(moved, mask)
