"""What is said follows the numbers, whatever they are."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from turpentine.core.formatting import points_with_span
from turpentine.explain import summaries as said
from turpentine.explain.coar import Regressed
from turpentine.explain.dynamics import CHANGE, WORDS, Unfolding
from turpentine.explain.entangle import ALONE, FAR, NEAR, Entangled
from turpentine.explain.heads import HeadsFound
from turpentine.explain.intervene import Interventions
from turpentine.explain.trace import Traced
from turpentine.models import Sites
from turpentine.stats.intervals import Estimate

NOWHERE = Sites((), ())


def unfolding(changes, words):
    rows = [(CHANGE, "", "", "", step, value, value, value, 1) for step, value in enumerate(changes)]
    rows += [(WORDS, "", "", "", step, value, value, value, 1) for step, value in enumerate(words)]
    names = ["measure", "site", "kind", "label", "step", "value", "low", "high", "n"]
    return Unfolding(pl.DataFrame(rows, names, orient="row"), NOWHERE, "", np.zeros((1, 1, 1)), {}, [])


def test_half_of_the_change_and_when_words_are_read():
    told = said.dynamics(unfolding([1, 1, 1, 9], [0.1, 0.5, 0.4, 0.2]))
    assert "after 4 of 4 steps" in told
    assert "most in step 2 (50\u202f%" in told and "least in step 1 (10\u202f%" in told
    assert "after 1 of 3 steps" in said.dynamics(unfolding([5, 1, 1], [0.1, 0.2, 0.3]))


def interventions(kept):
    rows = [("untouched", "object kept", 1.0, 0.9, 1.0, 8)]
    rows += [(letters, "object kept", value, value - 0.1, min(1, value + 0.1), 8) for letters, value in kept.items()]
    table = pl.DataFrame(rows, ["letters", "measure", "value", "low", "high", "n"], orient="row")
    return Interventions(table, NOWHERE, "", pl.DataFrame(), {})


def test_where_and_when_most_is_lost():
    kept = {"q1:MID": 1.0, "q2:MID": 0.75, "q1:UP1": 0.9, "q2:UP1": 1.0}
    told = said.windows(interventions(kept), "object kept")
    assert "25\u202f% (15\u202f% to 35\u202f%) of the pictures at most: MID, 10 to 30 % of the steps" in told
    assert (
        "10 to 30 % of the steps count most (12\u202f%)" in told and "0 to 10 % of the steps least (5\u202f%)" in told
    )
    same = said.windows(interventions(dict.fromkeys(kept, 1.0)), "object kept")
    assert same == "No layer alone, severed in one of the 2 windows, changes anything here."


def test_a_window_without_a_step_is_none():
    kept = {"q1:MID": 1.0, "q2:MID": 0.5, "q3:MID": 0.75}
    found = interventions(kept)
    assert "0 to 10 % of the steps least" in said.windows(replace(found, steps=10), "object kept")
    assert "30 to 60 % of the steps least" in said.windows(replace(found, steps=4), "object kept")
    none = said.windows(replace(interventions({"q1:MID": 1.0}), steps=4), "object kept")
    assert none == "None of the windows holds a step: take more steps."


def traced(effects, clean=1.0, corrupted=0.0):
    rows = [(f"s{n}", kind, label, *effect, 0.5, 8) for n, (kind, label, effect) in enumerate(effects)]
    table = pl.DataFrame(rows, ["site", "kind", "label", "effect", "low", "high", "restored", "n"], orient="row")
    return Traced(table, NOWHERE, "", Estimate(clean, clean, clean), Estimate(corrupted, corrupted, corrupted))


def test_what_gives_the_concept_back():
    found = traced([("resnet", "", (0.1, 0.0, 0.2)), ("resnet", "", (0.5, 0.3, 0.7)), ("attn", "MID", (0.2, 0.1, 0.3))])
    told = said.trace(found, "church")
    assert "from 1.00 to 0.00 with noise in the place of “church”" in told
    assert "resnet 2 raises it by 0.50 (0.30 to 0.70), the attn of MID by 0.20" in told


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (traced([("resnet", "", (0.1, 0.0, 0.2)), ("resnet", "", (0.0, 0.0, 0.0))]), "more than chance might"),
        (
            traced([("resnet", "", (0.1, 0.1, 0.2)), ("resnet", "", (0.0, 0.0, 0.0))], 0.5, 0.5),
            "costs the picture nothing",
        ),
    ],
)
def test_what_gives_nothing_back_is_not_said_to(found, told):
    assert told in said.trace(found, "church")
    assert "raises" not in said.trace(found, "church")


def entangled(near, far):
    rows = [(company, hit) for company, hits in ((ALONE, far), (NEAR, near), (FAR, far)) for hit in hits]
    table = pl.DataFrame([(ALONE, 1.0), (NEAR, np.mean(near)), (FAR, np.mean(far))], ["company", "value"], orient="row")
    return Entangled(table, NOWHERE, "", pl.DataFrame(rows, ["company", "hit"], orient="row"), [])


def test_what_a_neighbour_costs():
    found = entangled([True] * 5 + [False] * 15, [True] * 15 + [False] * 5)
    told = said.entangled(found)
    assert f"25\u202f% of the pictures {NEAR} and in 75\u202f% of those {FAR}" in told
    assert told.endswith(f"a difference of {points_with_span(found.harm)} points.") and "−50 (" in told
    assert said.entangled(entangled([True, False], [True, True])).endswith("points, which chance alone might give.")


def test_how_well_scores_agree_with_ablations():
    score, cad = [1.0, 2.0, 3.0, 5.0, 4.0], [5.0, 4.0, 3.0, 1.0, 2.0]
    table = pl.DataFrame({"measured": [1.0, 2.0, 3.0, 4.0, 5.0], "score": score, "cad": cad})
    told = said.coar(Regressed(table, NOWHERE, "", 1.0))
    assert "Over 5 modules" in told and "alone does by r 0.90 (0.09 to 0.99)" in told
    assert told.endswith("CAD's first order by r −0.90 (−0.99 to −0.09).")


def heads(scores, chance):
    rows = [("s", "MID", number, "key", score, score, score) for number, score in enumerate(scores)]
    table = pl.DataFrame(rows, ["site", "label", "head", "part", "score", "low", "high"], orient="row")
    return HeadsFound(table, NOWHERE, "", {}, {}, [], np.zeros(0), ["animals", "buildings"], chance=chance, p=0.5)


def test_a_best_head_is_held_against_chance():
    told = said.heads(heads([-0.1, 0.5, 0.4, 0.1], 0.3))
    assert "animals and buildings are told apart best by the keys of MID's head 1 (silhouette 0.50" in told
    assert "is above what the best of 4 sets of keys or values reaches by chance in 95 % of shuffles" in told
    assert told.endswith("of the words (0.30; p 0.5), as is 1 other.")
    assert said.heads(heads([-0.1, 0.5], 0.3)).endswith("(0.30; p 0.5).")
    assert said.heads(heads([0.5] * 3, 0.3)).endswith("as are 2 others.")
    assert "is not above what the best of 1 sets" in said.heads(heads([0.3], 0.3))
