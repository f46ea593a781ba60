"""What else broke: halves of renders, entropy by hand, and an edit that breaks one of two things."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.audit.damage import OTHERS, PLACES, _all_hits, damage, entropy, halves_of, whole
from turpentine.audit.probes import OPEN, PAIRS, Probe
from turpentine.edits import Edit
from turpentine.emoji.captions import pair_picture
from turpentine.emoji.world import render
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.stats.equivalence import Outcomes
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

TRIAL = Trial(steps=1, batch_size=20)


def test_each_half_of_a_rendered_pair_shows_its_own_object_and_not_the_other() -> None:
    rng = np.random.default_rng(0)
    pairs = [("dog", "car"), ("cat", "house"), ("guitar", "apple"), ("owl", "key")] * 5
    pictures = [Image.fromarray(render(pair_picture(rng, pair, "noto", "green"))) for pair in pairs]
    halves = [half for picture in pictures for half in halves_of(picture)]
    in_order, turned = ([label for pair in pairs for label in pair[::step]] for step in (1, -1))
    judge = EmojiJudge()
    assert np.mean(hits(judge, "object", halves, in_order)) > 0.85
    assert np.mean(hits(judge, "object", halves, turned)) < 0.05
    assert {half.size for half in halves} == {(32, 32)}


def test_entropy_is_of_shares() -> None:
    assert entropy(["a"] * 6 + ["b"] * 2) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))


def test_a_fall_of_less_than_3_points_is_shown_by_enough_pictures_alone() -> None:
    def outcomes(hits: int, n: int) -> Outcomes:
        return Outcomes((True,) * hits + (False,) * (n - hits))

    assert whole(outcomes(90, 100), outcomes(90, 100)) == "yes"  # they are pairs, and none changed
    assert whole(outcomes(1970, 2000), outcomes(1980, 2000)) == "yes"
    assert whole(outcomes(1600, 2000), outcomes(1980, 2000)) == "no"
    assert whole(outcomes(19, 20), outcomes(19, 20)).startswith("about ")


def test_measures_are_of_the_same_prompts_and_seeds_before_and_after() -> None:
    """A judge that tosses a coin by the picture: equal pictures have equal answers, and another model others."""
    model = toy("sd1")
    probes = [Probe("objects", "a dog", "object", ("dog",)), Probe("objects", "a cat", "object", ("church",))] * 6
    probes += [Probe(OPEN, "an object", "object")] * 8
    same = damage(Victim(model), Victim(model), probes, CoinJudge(), TRIAL, None, {"weights": 0})
    rows = {row["measure"]: row for row in same.table.rows(named=True)}
    assert rows[OTHERS]["change"] == rows["objects"]["change"] == rows["broken pictures"]["change"] == 0
    assert rows["diversity of seeds"]["change"] == 0 and rows["prompts that collapsed"]["edited"] == 0
    assert rows["denoiser rows a picture"]["edited"] == 2 and same.is_whole.startswith("about ")
    assert same.others is not None and same.others[0] == same.others[1] and same.others[0].n == 12
    assert PLACES not in rows and same.numbers()["size"] == {"weights": 0}
    black = Edit({"vae.decoder.conv_out.bias": torch.full((3,), -1e4)})
    after = damage(Victim(model, (black,)), Victim(model), probes, CoinJudge(), TRIAL, None, {})
    rows = {row["measure"]: row for row in after.table.rows(named=True)}
    assert rows["broken pictures"]["edited"] == 1 and rows["diversity of seeds"]["edited"] == 0
    assert rows["prompts that collapsed"]["edited"] == 1 or rows["diversity of seeds"]["original"] == 0


def test_without_a_probe_there_is_the_speed_and_no_answer() -> None:
    model = toy("sd1")
    bare = damage(Victim(model), Victim(model), [], CoinJudge(), TRIAL, None, {})
    assert (
        bare.others is None and bare.is_whole is None and bare.table["measure"].to_list() == ["denoiser rows a picture"]
    )


def test_pairs_are_counted_in_their_places() -> None:
    model = toy("sd1")
    probes = [Probe(PAIRS, "a dog and a church", "object", ("dog", "church"))] * 4
    rows = damage(Victim(model), Victim(model), probes, CoinJudge(), TRIAL, None, {}).table
    assert {PAIRS, PLACES} <= set(rows["measure"]) and OTHERS not in set(rows["measure"])


def test_two_objects_are_seen_in_renders_of_them_in_either_order_and_no_third() -> None:
    """By the judge's two likeliest labels, as in the report of an erasure."""
    rng = np.random.default_rng(1)
    pairs = [("dog", "car"), ("cat", "house"), ("guitar", "apple"), ("owl", "key")] * 5
    pictures = [Image.fromarray(render(pair_picture(rng, pair, "noto", "green"))) for pair in pairs]
    judge = EmojiJudge()
    answers = judge(pictures, prompts=[""] * len(pictures))

    def seen(labels: list[tuple[str, str]]) -> int:
        return sum(
            map(bool, _all_hits(judge, answers, pictures, [Probe(PAIRS, "", "object", each) for each in labels]))
        )

    assert seen(pairs) == seen([(right, left) for left, right in pairs]) >= 18
    assert seen([(left, "church") for left, _ in pairs]) == 0
