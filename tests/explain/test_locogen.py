"""Windows of layers that are told another prompt: each against the same run alone, scores by hand, what it costs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from turpentine.core.errors import BadArgument, EmptyConcept, UnknownName
from turpentine.explain.locogen import LocoGen, LocoGenFinding
from turpentine.judges.base import PROBABILITY, Column
from turpentine.models import Model, Sites, count_rows, swap
from turpentine.stats.intervals import Rate


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


PROMPTS, SEEDS, STEPS = ["a Church and a dog", "a red church", "a Church and a dog"], [0, 1, 2], 3
LABELS = ("church", "dog", "fish")


class Sum:
    """A judge to which pictures that look alike are different things."""

    name, revision, settings, needs, download = "sum", "1", None, frozenset(), None
    columns: ClassVar = {
        "object": Column(labels=LABELS),
        "object_also": Column(labels=LABELS),
        "likeness": PROBABILITY,
    }

    def __call__(self, images, *, prompts=None, references=None) -> pl.DataFrame:
        sums = [int(np.asarray(image, dtype=np.int64).sum()) for image in images]
        also = [LABELS[total // 3 % 3] if total % 2 else None for total in sums]
        return pl.DataFrame(
            {"object": [LABELS[total % 3] for total in sums], "object_also": also, "likeness": [0.5] * len(sums)},
            schema={"object": pl.String, "object_also": pl.String, "likeness": pl.Float64},
        )


def located(model: Model, **settings) -> LocoGenFinding:
    return LocoGen(**{"width": 14, "target": "cat", "steps": STEPS, **settings})(
        model, PROMPTS, SEEDS, concept="church", judge=Sum()
    )


def layers(model: Model) -> list:
    return [site for site in model.sites if site.kind == "cross-attention" and site.level == "module"]


def test_each_window_is_told_the_prompt_with_the_target_in_the_concepts_place(sd1: Model) -> None:
    found = located(sd1)
    assert list(found.images) == ["untouched", *found.table["window"][1:]]
    assert [list(window) for window in found.windows] == [layers(sd1)[at : at + 14] for at in range(3)]
    others = sd1.encode(["a cat and a dog", "a red cat", "a cat and a dog"])
    plain = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
    changed = 0
    for window, name in zip([(), *found.windows], found.images, strict=True):
        with swap(sd1, Sites(sd1.sites.everything, tuple(window)), others):
            alone = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
        for mine, theirs, before in zip(found.images[name], alone, plain, strict=True):
            assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2
            changed = max(changed, np.abs(np.asarray(mine, int) - np.asarray(before, int)).max())
    assert changed > 5


def test_without_a_target_it_is_the_empty_prompt(sd1: Model) -> None:
    found = located(sd1, target="", width=16)
    with swap(sd1, sd1.sites.only(kind="cross-attention", level="module"), sd1.encode([""])):
        alone = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
    for mine, theirs in zip(found.images[found.table["window"][1]], alone, strict=True):
        assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2


def test_a_score_is_the_share_of_pictures_in_which_the_judge_sees_no_concept(sd1: Model) -> None:
    found = located(sd1)
    for name, pictures in found.images.items():
        said = Sum()(pictures)
        gone = ["church" not in both for both in zip(said["object"], said["object_also"], strict=True)]
        rows = found.rows.filter(pl.col("window") == name)
        assert rows.select("prompt", "seed", "gone").rows() == list(zip(PROMPTS, SEEDS, gone, strict=True))
        row = found.table.row(by_predicate=pl.col("window") == name, named=True)
        assert (row["score"], row["n"]) == (pytest.approx(sum(gone) / 3), 3)
        rate = Rate.of(gone, [(prompt,) for prompt in PROMPTS])
        assert rate is not None and (row["low"], row["high"]) == (rate.low, rate.high)
    assert 0 < found.rows["gone"].sum() < len(found.rows)


def test_the_best_windows_layers_are_its_sites(sd1: Model) -> None:
    found = located(sd1)
    scores = found.table["score"].to_list()[1:]
    best = max(range(3), key=lambda at: scores[at])  # the first of several
    assert list(found.sites(1)) == layers(sd1)[best : best + 14]
    assert list(found.sites(3)) == layers(sd1)
    with pytest.raises(BadArgument, match="top 0 windows are none"):
        found.sites(0)
    assert found.plot().get_axes()


def test_windows_and_prompts_share_calls_and_progress_counts_pictures(sd1: Model) -> None:
    def run(rows: int) -> tuple[int, int, list[tuple[int, int]]]:
        told: list[tuple[int, int]] = []
        with count_rows(sd1) as count:
            LocoGen(width=15, steps=STEPS, rows=rows)(
                sd1, PROMPTS, SEEDS, concept="church", judge=Sum(), progress=lambda *done: told.append(done)
            )
        return count.calls, count.rows, told

    rows = STEPS * len(PROMPTS) * 2 * (1 + 2)  # with ∅, and the untouched run beside two windows
    assert run(256) == (STEPS, rows, [(3, 3)])
    assert run(13) == (2 * STEPS, rows, [(2, 3), (3, 3)])
    assert run(1) == (3 * STEPS, rows, [(1, 3), (2, 3), (3, 3)])


def test_every_layer_of_a_larger_model_is_a_window_of_its_own(sdxl: Model) -> None:
    found = located(sdxl, width=1)
    assert len(found.images) == 1 + len(layers(sdxl)) == 1 + len(found.windows)


def test_the_judges_label_may_be_another_word_than_the_prompts(sd1: Model) -> None:
    asked = LocoGen(width=16, steps=STEPS)
    found = asked(sd1, "a red church", SEEDS, concept="red church", judge=Sum(), label="fish")
    said = Sum()(found.images["untouched"])
    assert found.rows["gone"].to_list()[:3] == [
        "fish" not in both for both in zip(said["object"], said["object_also"], strict=True)
    ]


@pytest.mark.parametrize(
    ("settings", "prompt", "concept", "error", "told"),
    [
        ({"width": 0}, "a church", "church", BadArgument, "LocoGen's width is 0: give 1 or more"),
        ({"width": 17}, "a church", "church", BadArgument, "no window of 17 layers: give 1 to 16"),
        ({}, "a church", "churches", BadArgument, "did you mean 'church'"),
        ({"column": "likeness"}, "a church", "church", BadArgument, "sum's likeness is no label"),
        ({"column": "hue"}, "a church", "church", UnknownName, "no column 'hue'"),
        ({}, "a dog", "church", EmptyConcept, "'church' is not in"),
        ({}, "a dog " * 8 + "a church", "church", BadArgument, "would be cut off"),
        ({"target": "dog " * 14}, "a red church", "church", BadArgument, "would be cut off"),
    ],
)
def test_what_cannot_be_located_is_told_before_anything_is_drawn(
    sd1: Model, settings: dict, prompt: str, concept: str, error: type[Exception], told: str
) -> None:
    with count_rows(sd1) as count, pytest.raises(error, match=told):
        LocoGen(**settings)(sd1, prompt, 0, concept=concept, judge=Sum())
    assert count.calls == 0
