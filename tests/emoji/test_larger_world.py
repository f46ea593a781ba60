"""The larger world: objects with a colour of their own, and two objects in a relation; and its judge's labels."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from turpentine.emoji.captions import (
    LARGER,
    LARGER_HARD,
    RELATIONS,
    WORLD,
    Captioned,
    draw,
    related_picture,
    relation_caption,
    stream,
    vocabulary,
)
from turpentine.emoji.judge_network import ANSWERS, LARGER_ANSWERS, NONE, JudgeNet, load_judge
from turpentine.emoji.train import autoencoder
from turpentine.emoji.train import judge_stage as judge
from turpentine.emoji.train import towers_stage as towers
from turpentine.emoji.world import (
    COLOURS,
    STYLES,
    TINTABLE,
    TINTS,
    held_out_pairs,
    held_out_tints,
    render,
    sprites,
    tints_of,
    visible_on,
)


def of_kind(kind: str, count: int = 300) -> list[Captioned]:
    rng = np.random.default_rng(7)
    return [draw(rng, replace(LARGER, kinds={kind: 1.0})) for _ in range(count)]


@pytest.mark.parametrize("mixture", [LARGER, LARGER_HARD])
def test_a_mixtures_probabilities_are_one_in_sum(mixture) -> None:
    assert sum(mixture.kinds.values()) == pytest.approx(1)


def test_the_world_that_ships_draws_no_tint() -> None:
    drawn = stream(3)
    assert all(placed.tint is None for _ in range(500) for placed in next(drawn).picture.placed)


def test_a_tinted_object_is_named_with_its_colour_and_held_out_ones_are_not_drawn() -> None:
    for item in of_kind("tinted"):
        [placed] = item.picture.placed
        assert f"{placed.tint} {placed.object}" in item.caption
        assert placed.object in TINTABLE and placed.tint != item.picture.background
        assert (placed.object, placed.tint) not in held_out_tints()
        assert (placed.object, placed.style) not in held_out_pairs()


@pytest.mark.parametrize("tint", TINTS)
def test_most_of_a_tinted_sprite_is_nearest_to_its_tint(tint: str) -> None:
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], float)
    shares = []
    for item in of_kind("tinted"):
        [placed] = item.picture.placed
        if placed.tint != tint or placed.style in ("ink", "line") or item.picture.background in ("gray", "pink"):
            continue
        pixels = render(item.picture, 64).reshape(-1, 3).astype(float)
        away = np.abs(pixels - COLOURS[item.picture.background]).max(1) > 60
        coloured = pixels[away][np.ptp(pixels[away], axis=1) > 60]  # outlines and highlights are dark or light
        hue = np.array([np.argmin(((palette - pixel) ** 2).sum(1)) for pixel in coloured])
        shares.append(np.mean([names[h] in (tint, {"red": "orange", "blue": "purple"}.get(tint)) for h in hue]))
    assert len(shares) > 5 and np.mean(shares) > 0.5


def test_shading_stays_within_a_tint() -> None:
    item = next(i for i in of_kind("tinted") if i.picture.placed[0].style == "noto")
    plain = replace(item.picture, placed=(replace(item.picture.placed[0], tint=None),))
    painted, own = (render(picture, 64).astype(float).mean(-1) for picture in (item.picture, plain))
    inside = np.abs(own - own[0, 0]) > 40
    assert np.corrcoef(painted[inside], own[inside])[0, 1] > 0.5, "what was darker is darker"


def test_objects_stand_as_their_caption_says() -> None:
    for item in of_kind("relation"):
        [relation] = [r for r in RELATIONS if f" {r} " in item.caption]
        one, other = item.picture.placed
        across, down = (
            (one.x + one.size / 2) - (other.x + other.size / 2),
            (one.y + one.size / 2) - (other.y + other.size / 2),
        )
        assert {"left of": across < 0, "right of": across > 0, "above": down < 0, "under": down > 0}[relation]
        first, _, second = item.caption.partition(f" {relation} ")
        assert first.endswith(one.object) and re.match(rf"an? (small )?(\w+ )?{other.object}\b", second)
        for placed, text in ((one, first), (other, second)):
            noun = text[: text.index(placed.object)]
            assert ("small " in noun) == (placed.size < 12)
            assert (placed.tint is None) or f"{placed.tint} " in noun
        assert all(0 <= p.x <= 32 - p.size and 0 <= p.y <= 32 - p.size for p in item.picture.placed)


def test_two_that_share_no_style_stand_in_no_relation() -> None:
    rng = np.random.default_rng(0)
    alone = [(obj, style) for obj, style in sprites() if (obj, style) not in held_out_pairs()]
    by_object: dict[str, set[str]] = {}
    for obj, style in alone:
        by_object.setdefault(obj, set()).add(style)
    strangers = [(a, b) for a in by_object for b in by_object if not by_object[a] & by_object[b]]
    assert all(related_picture(rng, a, b, "above") is None for a, b in strangers[:5])
    picture = related_picture(rng, "dog", "church", "under")
    assert picture is not None and relation_caption(picture, "under").count(" under ") == 1


def test_a_background_of_the_tint_is_not_visible() -> None:
    assert "red" not in visible_on("car", "noto", "red")
    assert set(visible_on("car", "noto", "red")) <= set(COLOURS)


def test_what_grows_has_no_tint_and_each_tint_is_held_out_twice() -> None:
    assert tints_of("banana") == () and set(tints_of("car", held_out=True)) == set(TINTS)
    assert {tint: sum(t == tint for _, t in held_out_tints()) for tint in TINTS} == dict.fromkeys(TINTS, 2)


def test_the_larger_vocabulary_has_the_relations_words() -> None:
    more = set(vocabulary(LARGER)) - set(vocabulary(WORLD))
    assert {"left", "right", "of", "above", "under"} - set(vocabulary(WORLD)) == more


def test_families_of_the_larger_world_differ_in_one_thing() -> None:
    family = towers.families(np.random.default_rng(1), 600, LARGER)
    assert {"tinted", "relation", "object"} <= {item.kind for item in family}
    for item in family:
        if item.kind == "relation":
            assert (
                relation_caption(item.picture, next(r for r in RELATIONS if f" {r} " in item.caption)) == item.caption
            )


def test_the_larger_judge_is_asked_for_the_tint() -> None:
    x, truth = judge.labelled(np.random.default_rng(0), 300, 32, LARGER)
    none = LARGER_ANSWERS["tint"].index(NONE)
    assert len(x) == 300 and set(truth.tint.tolist()) == {-1, *range(none + 1)}
    net = JudgeNet(LARGER_ANSWERS)
    loss = judge.loss(net, autoencoder.build((8, 8, 8), 1, 32).eval(), 8, 32, LARGER)
    batch = loss.draw(np.random.default_rng(0))
    assert set(batch) == {"pictures", "object", "style", "colour", "tint"}
    loss.value(batch).backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_a_judge_is_read_with_the_answers_it_has(tmp_path) -> None:
    from safetensors.torch import save_file

    save_file(JudgeNet(LARGER_ANSWERS).state_dict(), tmp_path / "judge.safetensors")
    assert load_judge(tmp_path / "judge.safetensors").answers == LARGER_ANSWERS
    assert load_judge().answers == ANSWERS and len(STYLES) == 8
    assert torch.isfinite(load_judge().logits(torch.zeros(1, 3, 64, 64))["object"]).all()
