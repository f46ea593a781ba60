"""Keys and values of each head against the layers' own, silhouettes against their definition."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from explain.joint import Joint, written_out
from PIL import Image

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.explain._head_vectors import distances, principal
from turpentine.explain.heads import Heads, best_by_chance, silhouettes
from turpentine.models import Model, hooked, record, sample
from turpentine.models.site_table import top_sites
from turpentine.models.text import find_subject
from turpentine.testing.toys import toy

GROUPS = {"animals": ["dog", "cat", "horse", "owl"], "buildings": ["church", "castle", "house"]}
GROUPS_OF_TINY = {"animals": ["dog", "cat", "zebra"], "others": ["church", "truck", "red"]}


def test_keys_and_values_are_what_the_layers_give_in_a_run(emoji: Model) -> None:
    found = Heads("a {}", shuffles=1)(emoji, GROUPS)
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
    np.testing.assert_allclose(silhouettes(distances(points), of), expected)
    both = silhouettes(np.stack([1 - np.eye(9), distances(points)]), of)
    np.testing.assert_allclose(both, [np.zeros(9), expected], atol=1e-12)


def test_groups_far_apart_score_one_and_shuffled_ones_nothing() -> None:
    rng = np.random.default_rng(1)
    of = np.repeat([0, 1], 50)
    points = rng.normal(size=(100, 4)) + 100 * of[:, None]
    assert silhouettes(distances(points), of).mean() > 0.95
    assert abs(silhouettes(distances(points), rng.permutation(of)).mean()) < 0.1


def test_the_best_by_chance_is_the_largest_mean_under_each_shuffle() -> None:
    rng = np.random.default_rng(4)
    sets, of = [rng.normal(size=(8, 3)) for _ in range(5)], np.repeat([0, 1], 4)
    draws = np.random.default_rng(7)
    expected = []
    for _ in range(20):
        shuffled = draws.permutation(of)
        expected.append(max(silhouettes(distances(points), shuffled).mean() for points in sets))
    each = np.stack([distances(points) for points in sets])
    np.testing.assert_allclose(best_by_chance(each, of, 20, 7), expected)


def test_a_winner_among_heads_that_know_nothing_is_told_from_one_that_knows() -> None:
    """Over many draws of heads without groups, the best of them is above chance about 1 time in 20."""
    of, above = np.repeat([0, 1], 6), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        each = np.stack([distances(rng.normal(size=(12, 4))) for _ in range(16)])
        best = silhouettes(each, of).mean(-1).max()
        above.append(best > np.quantile(best_by_chance(each, of, 60, seed), 0.95))
    assert np.mean(above) <= 0.15
    knowing = distances(rng.normal(size=(12, 4)) + 5 * of[:, None])
    chance = best_by_chance(np.concatenate([each, knowing[None]]), of, 100, 0)
    assert silhouettes(knowing, of).mean() > np.quantile(chance, 0.95)


def test_two_dimensions_keep_what_they_can() -> None:
    rng = np.random.default_rng(2)
    plane = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 7)) + 3
    flat = plane @ principal(np.cov(plane, rowvar=False))
    away = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (plane, flat)]
    np.testing.assert_allclose(*away, atol=1e-9)


def test_the_axes_are_those_of_the_backgrounds_own_tokens(sd1: Model) -> None:
    """Against the keys of all words of all prompts, and the SVD of those."""
    background = ("a red church and a dog", "a dog", "a church in red style")
    found = Heads(background=background, shuffles=1)(sd1, GROUPS_OF_TINY)
    hidden = sd1.encode(background).hidden
    own = np.concatenate(
        [row[1 : 1 + len(text.split())].numpy() for row, text in zip(hidden, background, strict=True)]
    ).astype(np.float64)
    for site in sd1.sites.only(kind="cross-attention", level="module", label=["MID", "UP9"]):
        module = sd1.module(site.name)
        for part, layer in (("key", module.to_k), ("value", module.to_v)):
            for head, weight in enumerate(np.split(layer.weight.detach().double().numpy(), module.heads)):
                read = own @ weight.T
                _, _, expected = np.linalg.svd(read - read.mean(0), full_matrices=False)
                mine = found.axes[site.label, head, part]
                np.testing.assert_allclose(abs(expected[:2] @ mine), np.eye(2), atol=1e-6)
    alone = Heads(shuffles=1)(sd1, GROUPS_OF_TINY)
    points = alone.points["MID", 0, "key"]
    flat = points @ alone.axes["MID", 0, "key"]
    _, size, _ = np.linalg.svd(points - points.mean(0))
    np.testing.assert_allclose(((flat - flat.mean(0)) ** 2).sum(0), size[:2] ** 2, rtol=1e-4)


def test_the_table_has_every_head_and_its_interval_holds_the_score(emoji: Model, tmp_path) -> None:
    found = Heads(shuffles=200)(emoji, GROUPS)
    modules = emoji.sites.only(kind="cross-attention", level="module")
    assert len(found.table) == 2 * sum(emoji.module(site.name).heads for site in modules)
    assert found.table.select((pl.col("low") <= pl.col("score")) & (pl.col("score") <= pl.col("high")))["low"].all()
    label, head = found.best("key")
    score = silhouettes(distances(found.points[label, head, "key"]), found.group).mean()
    assert score == pytest.approx(found.table.filter(pl.col("part") == "key")["score"].max())
    best = found.table.sort("score", descending=True)["site"].unique(maintain_order=True)
    assert {site.name for site in found.sites(3)} == set(best[:3]), "modules by their best head"
    assert found.above == (found.table["score"] > found.chance).sum()
    assert (found.p <= 0.05) == (found.above > 0)
    found.plot().savefig(tmp_path / "heads.png")
    assert Image.open(tmp_path / "heads.png").width > 800


def test_the_time_that_is_told_is_that_of_all_shuffles(sd1: Model, monkeypatch) -> None:
    now, tried = [0.0], []

    def shuffled(distance, of, shuffles, seed):
        tried.append((distance.shape, of.tolist()))
        now[0] += 0.02 * shuffles
        return np.zeros(shuffles)

    monkeypatch.setattr("turpentine.explain.heads.best_by_chance", shuffled)
    monkeypatch.setattr("turpentine.explain.heads.time.monotonic", lambda: now[0])
    asked = Heads(shuffles=500)
    assert asked.seconds(sd1, GROUPS_OF_TINY) == pytest.approx(10)
    asked(sd1, GROUPS_OF_TINY)
    assert tried[0] == tried[1], "as much for each shuffle as in the instrument itself"


def test_a_saved_table_leads_to_the_same_sites(emoji: Model, tmp_path) -> None:
    found = Heads(shuffles=1)(emoji, GROUPS)
    found.save(tmp_path / "table.parquet")
    for top in range(1, 8):
        read = top_sites(emoji.sites, tmp_path / "table.parquet", top)
        best = found.table.group_by("site").agg(pl.col("score").max()).sort("score", descending=True)
        assert {site.name for site in read} == {site.name for site in found.sites(top)} == set(best["site"][:top])


@pytest.mark.parametrize("groups", [{}, {"animals": ["dog", "cat"]}, {"animals": ["dog", "cat"], "other": ["church"]}])
def test_too_few_words_are_told(sd1: Model, groups) -> None:
    with pytest.raises(BadArgument, match="two groups or more"):
        Heads()(sd1, groups)


def test_a_template_without_a_place_and_a_word_without_a_token_are_told(sd1: Model) -> None:
    with pytest.raises(BadArgument, match="no place for a word"):
        Heads("a dog")(sd1, GROUPS)
    with pytest.raises(BadArgument, match="would be cut off"):
        Heads("a dog and " * 5 + "{}")(sd1, GROUPS)
    with pytest.raises(BadArgument, match="'dog' is there twice"):
        Heads()(sd1, {**GROUPS, "pets": ["dog", "fish"]})
    assert len(Heads("{} in {ink", shuffles=1)(sd1, GROUPS).table) > 0, "only {} is a place for a word"
    with pytest.raises(BadArgument, match="shuffles is 0: give 1 or more"):
        Heads(shuffles=0)(sd1, GROUPS)
    with pytest.raises(EmptyConcept, match="no token for"):
        Heads()(sd1, {**GROUPS, "none": ["→", "⇒"]})


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_keys_and_values_of_joint_attention_are_those_of_each_blocks_own_text(family: str) -> None:
    """On the noise at which sampling begins, against it written out; single blocks, too, and axes by the SVD."""
    groups = {"animals": ["dog", "cat", "fish"], "others": ["church", "truck", "red"]}
    model, background = toy(family), ("a red church", "a dog")
    found = Heads("a {}", background=background, shuffles=1)(model, groups)
    modules = model.sites.only(kind="joint-attention", level="module")
    first = 0 if family == "flux" else 1  # CLIP's start token

    def texts(prompts: list[str]) -> list[Joint]:
        joints: list[Joint] = []
        with hooked(model, {modules: lambda call: joints.append(written_out(call))}), torch.no_grad():
            x, t = model.noise([0] * len(prompts)), model.schedule.training_steps - 1
            model.eps(x, t, model.encode(prompts))
        return joints

    own, others = texts([f"a {word}" for word in found.words]), texts(list(background))
    for site, joint, other in zip(modules, own, others, strict=True):
        for part, each, rest in (("key", joint.keys, other.keys), ("value", joint.text, other.text)):
            for head in range(each.shape[1]):
                np.testing.assert_allclose(
                    found.points[site.label, head, part], each[:, head, first + 1], rtol=1e-3, atol=1e-5
                )
                counts = zip(rest[:, head], (3, 2), strict=True)
                read = np.concatenate([row[first : first + count].double().numpy() for row, count in counts])
                size = np.linalg.svd(read - read.mean(0), compute_uv=False)
                mine = found.axes[site.label, head, part]
                assert abs(np.linalg.norm((read - read.mean(0)) @ mine) - np.linalg.norm(size[:2])) < 1e-4 * size[0]
    assert len(found.table) == 2 * sum(joint.keys.shape[1] for joint in own)
