"""Keys and values of each head against the layers' own, silhouettes against their definition."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.errors import BadArgument, EmptyConcept
from turpentine.explain import Heads
from turpentine.explain.heads import flattened, silhouettes
from turpentine.models import Model, record, sample
from turpentine.models.text import find_subject

GROUPS = {"animals": ["dog", "cat", "horse", "owl"], "buildings": ["church", "castle", "house"]}


def test_keys_and_values_are_what_the_layers_give_in_a_run(emoji: Model) -> None:
    found = Heads("a {}")(emoji, GROUPS)
    prompts = [f"a {word}" for group in GROUPS.values() for word in group]
    cond = emoji.encode(prompts)
    layers = emoji.sites.only(kind="cross-attention", level="layer", name=["*.to_k", "*.to_v"], label=["MID", "UP9"])
    with record(emoji, layers) as kept:
        list(sample(emoji, cond, emoji.encode([""]), emoji.noise(range(7)), steps=1, guidance_scale=4.0))
    for site in layers:
        part = "key" if site.name.endswith("to_k") else "value"
        heads = emoji.module(site.name.rpartition(".")[0]).heads
        for row, (prompt, word) in enumerate(zip(prompts, found.words, strict=True)):
            last = find_subject(emoji.pipeline.tokenizer, prompt, word, length=cond.hidden.shape[1]).last
            for head, expected in enumerate(kept.outputs[site.name][0][row, last].chunk(heads)):
                np.testing.assert_allclose(found.points[site.label, head, part][row], expected, rtol=1e-3, atol=1e-3)


def test_a_silhouette_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    points, of = rng.normal(size=(9, 3)), np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
    expected = []
    for i in range(9):

        def mean(group: int, i: int = i) -> float:
            return float(
                np.mean([np.linalg.norm(points[i] - points[j]) for j in range(9) if j != i and of[j] == group])
            )

        a, b = mean(of[i]), min(mean(group) for group in range(3) if group != of[i])
        expected.append((b - a) / max(a, b))
    np.testing.assert_allclose(silhouettes(points, of), expected)


def test_groups_far_apart_score_one_and_shuffled_ones_nothing() -> None:
    rng = np.random.default_rng(1)
    of = np.repeat([0, 1], 50)
    points = rng.normal(size=(100, 4)) + 100 * of[:, None]
    assert silhouettes(points, of).mean() > 0.95
    assert abs(silhouettes(points, rng.permutation(of)).mean()) < 0.1


def test_two_dimensions_keep_what_they_can() -> None:
    rng = np.random.default_rng(2)
    plane = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 7)) + 3
    flat = flattened(plane)
    distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (plane, flat)]
    np.testing.assert_allclose(*distances, atol=1e-9)


def test_the_table_has_every_head_and_its_interval_holds_the_score(emoji: Model, tmp_path) -> None:
    found = Heads()(emoji, GROUPS)
    modules = emoji.sites.only(kind="cross-attention", level="module")
    assert len(found.table) == 2 * sum(emoji.module(site.name).heads for site in modules)
    assert found.table.select((pl.col("low") <= pl.col("score")) & (pl.col("score") <= pl.col("high")))["low"].all()
    label, head = found.best("key")
    score = silhouettes(found.points[label, head, "key"], found.group).mean()
    assert score == pytest.approx(found.table.filter(pl.col("part") == "key")["score"].max())
    assert len(found.sites(3)) == 3
    found.plot().savefig(tmp_path / "heads.png")
    assert Image.open(tmp_path / "heads.png").width > 800


@pytest.mark.parametrize("groups", [{}, {"animals": ["dog", "cat"]}, {"animals": ["dog", "cat"], "other": ["church"]}])
def test_too_few_words_are_told(sd1: Model, groups) -> None:
    with pytest.raises(BadArgument, match="two groups or more"):
        Heads()(sd1, groups)


def test_a_template_without_a_place_and_a_word_without_a_token_are_told(sd1: Model) -> None:
    with pytest.raises(BadArgument, match="no place for a word"):
        Heads("a dog")(sd1, GROUPS)
    with pytest.raises(EmptyConcept, match="no token for"):
        Heads()(sd1, {**GROUPS, "none": ["→", "⇒"]})
