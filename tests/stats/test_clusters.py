"""Intervals over prompts: their cover, their width, and what a resample holds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.clusters import resampled_means, row_resampler
from turpentine.stats.intervals import Rate, paired_bootstrap, set_distance, wilson
from turpentine.stats.set_distances import fid


def alike(
    rng: np.random.Generator, prompts: int, seeds: int, spread: float
) -> tuple[list[bool], list[tuple[str, ...]]]:
    """Outcomes of prompts that each have a rate of their own, 50 % on average."""
    rates = rng.beta(spread, spread, size=prompts)
    outcomes = rng.random((prompts, seeds)) < rates[:, None]
    return outcomes.ravel().tolist(), [(f"prompt {number}",) for number in range(prompts) for _ in range(seeds)]


def test_an_interval_over_prompts_has_the_truth_where_one_over_pictures_has_not() -> None:
    rng, over_pictures, over_prompts = np.random.default_rng(0), 0, 0
    for _ in range(200):
        outcomes, prompts = alike(rng, 10, 8, 0.5)
        for clusters in (None, prompts):
            rate = Rate.of(outcomes, clusters)
            assert rate is not None
            covers = rate.low <= 0.5 <= rate.high
            over_pictures += covers and clusters is None
            over_prompts += covers and clusters is not None
    assert over_pictures < 140 and over_prompts > 185


def test_an_interval_over_prompts_is_never_narrower_and_leaves_room_where_all_are_alike() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        outcomes, prompts = alike(rng, int(rng.integers(1, 9)), int(rng.integers(1, 9)), 1.0)
        plain, over = Rate.of(outcomes), Rate.of(outcomes, prompts)
        assert plain is not None and over is not None
        assert over.low <= plain.low and over.high >= plain.high and over.value == plain.value
        before, after = rng.random(len(outcomes)) < 0.5, outcomes
        one, other = (paired_bootstrap(before.tolist(), after, clusters=each) for each in (None, prompts))
        assert other.low <= one.low and other.high >= one.high
    none = Rate.of([False] * 80, [(str(number // 8),) for number in range(80)])
    assert none is not None and (none.low, none.high) == wilson(0, 80)


def test_pictures_of_one_prompt_are_drawn_one_by_one() -> None:
    outcomes = [True] * 6 + [False] * 4
    means, count = resampled_means(np.asarray(outcomes, dtype=float), [("church", "a church")] * 10)
    assert count == 10 and len(set(means.round(6).tolist())) > 5


def test_concepts_are_drawn_before_their_prompts_with_all_their_pictures() -> None:
    values = np.repeat([0.0, 1.0, 4.0, 6.0], 3)
    clusters = [(concept, prompt) for concept in "ab" for prompt in "12" for _ in range(3)]
    means, count = resampled_means(values, clusters)
    # Plainly: two concepts with replacement, then two prompts of each.
    rates = {"a": [0.0, 1.0], "b": [4.0, 6.0]}
    possible = {
        sum(rates[c][i] for c, pair in zip(drawn, pairs, strict=True) for i in pair) / 4
        for drawn in itertools.product("ab", repeat=2)
        for pairs in itertools.product(itertools.product((0, 1), repeat=2), repeat=2)
    }
    assert count == 2 and set(means.tolist()) == possible
    assert means.mean() == pytest.approx(values.mean(), abs=0.1)


def test_clusters_that_do_not_fit_are_refused() -> None:
    for clusters in ([("a",)], [("a",), ("a", "b")], [("a", "b", "c")] * 2):
        with pytest.raises(BadArgument, match="clusters"):
            resampled_means(np.zeros(2), clusters)


def test_rows_of_a_cluster_stay_together() -> None:
    rng = np.random.default_rng(3)
    clusters = [(concept, f"prompt {number}") for concept in "abc" for number in range(2) for _ in range(4)]
    draw, seen = row_resampler(clusters), set()
    for _ in range(50):
        rows = draw(rng)
        counts = np.bincount(rows, minlength=24).reshape(6, 4)
        assert len(rows) == 24 and (counts == counts[:, :1]).all()
        seen.add(tuple(counts[:, 0]))
    assert len(seen) > 20


def test_a_distance_of_sets_is_less_sure_where_pictures_of_a_prompt_are_alike() -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(6, 1, 3))
    a, b = ((centres + 0.1 * rng.normal(size=(6, 10, 3))).reshape(60, 3) + shift for shift in (0.0, 0.5))
    prompts = [(str(number),) for number in range(6) for _ in range(10)]
    over_pictures, over_prompts = set_distance(fid, a, b), set_distance(fid, a, b, clusters=(prompts, prompts))
    assert over_pictures.value == over_prompts.value
    assert over_prompts.high - over_prompts.low > over_pictures.high - over_pictures.low
