"""Summaries follow the numbers, whatever they are."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.core.formatting import points_with_span
from turpentine.explain.agreement import AgreementFinding
from turpentine.explain.clock import ClockFinding
from turpentine.explain.coar import COARFinding
from turpentine.explain.contributions import ContributionsFinding
from turpentine.explain.dynamics import CHANGE, WORDS, DynamicsFinding
from turpentine.explain.entangle import ALONE, FAR, NEAR, EntangleFinding
from turpentine.explain.heads import HeadsFinding
from turpentine.explain.intervene import InterveneFinding
from turpentine.explain.locogen import LocoGenFinding
from turpentine.explain.maps_finding import MapsFinding
from turpentine.explain.segment import SegmentFinding
from turpentine.explain.trace import TraceFinding
from turpentine.models import Sites
from turpentine.stats.intervals import Estimate

NOWHERE = Sites((), ())


def dynamics(changes, words):
    rows = [(CHANGE, "", "", "", step, value, value, value, 1) for step, value in enumerate(changes)]
    rows += [(WORDS, "", "", "", step, value, value, value, 1) for step, value in enumerate(words)]
    names = ["measure", "site", "kind", "label", "step", "value", "low", "high", "n"]
    return DynamicsFinding(pl.DataFrame(rows, names, orient="row"), NOWHERE, "", np.zeros((1, 1, 1)), {}, [])


def test_half_of_the_change_and_when_words_are_read():
    summary = dynamics([1, 1, 1, 9], [0.1, 0.5, 0.4, 0.2]).summary()
    assert "after 4 of 4 steps" in summary
    assert "most in step 2 (50\u202f%" in summary and "least in step 1 (10\u202f%" in summary
    assert "after 1 of 3 steps" in dynamics([5, 1, 1], [0.1, 0.2, 0.3]).summary()


def interventions(same, measure="object kept"):
    rows = [("untouched", measure, 1.0, 0.9, 1.0, 8)]
    rows += [(letters, measure, value, value - 0.1, min(1, value + 0.1), 8) for letters, value in same.items()]
    table = pl.DataFrame(rows, ["letters", "measure", "value", "low", "high", "n"], orient="row")
    return InterveneFinding(table, NOWHERE, "", pl.DataFrame(), {}, measure=measure)


def test_where_and_when_most_is_lost():
    same = {"q1:MID": 1.0, "q2:MID": 0.75, "q1:UP1": 0.9, "q2:UP1": 1.0}
    summary = interventions(same).summary()
    assert "25\u202f% (15\u202f% to 35\u202f%) of the pictures at most: MID, 10 to 30 % of the steps" in summary
    assert "10 to 30 % of the steps count most (12\u202f%)" in summary
    assert "0 to 10 % of the steps least (5\u202f%)" in summary
    unchanged = interventions(dict.fromkeys(same, 1.0)).summary()
    assert unchanged == "No layer alone, severed in one of the 2 windows, changes anything here."
    of_layout = interventions(same, "layout").summary()
    assert "the layout changes by 25\u202f% (15\u202f% to 35\u202f%) at most: MID" in of_layout


def test_interventions_that_are_no_grid_are_ranked():
    seen = "the judge sees the same object as in the untouched picture in"
    assert interventions({"q1": 1.0, "oMID": 0.5}).summary() == (
        f"Least is left under oMID: {seen} 50\u202f% (40\u202f% to 60\u202f%; 8 pictures). "
        f"Most is left under q1: {seen} 100\u202f% (90\u202f% to 100\u202f%; 8 pictures)."
    )
    assert interventions({"p1:MID": 1.0, "p2:MID": 0.5}).summary().startswith("Least is left under p2:MID")
    alike = interventions({"qALL": 0.5, "oMID": 0.5}, "layout").summary()
    assert alike.startswith(
        "Under each of the 2 interventions, the layout overlaps that of the untouched picture by 50"
    )
    assert interventions({"qALL": 0.5}, "layout").summary().startswith("Under qALL, the layout overlaps")


def test_other_times_are_summed_up_by_the_judge_first_and_by_the_layout_without_one():
    rows = [
        (letters, measure, value, value - 0.1, value + 0.1, 4)
        for measure, values in (("layout", (1.0, 0.2, 0.9)), ("object kept", (1.0, 0.75, 0.25)))
        for letters, value in zip(("untouched", "+0.1", "shuffled"), values, strict=True)
    ]
    table = pl.DataFrame(rows, ["letters", "measure", "value", "low", "high", "n"], orient="row")
    finding = ClockFinding(table, NOWHERE, "", pl.DataFrame(), {})
    assert "Least is left under shuffled: the judge sees the same object" in finding.summary()
    of_layout = replace(finding, table=table.filter(pl.col("measure") == "layout"))
    assert "Least is left under +0.1: the layout overlaps that of the untouched picture by 20" in of_layout.summary()


def contributions(*ratios):
    rows = [
        ("a dog", f"site {n}", "self-attention", f"UP{n}", 1.0, 1.0, ratio, ratio, ratio, 2 if ratio else 0)
        for n, ratio in enumerate(ratios, start=1)
    ]
    columns = ["prompt", "site", "kind", "label", "inside", "outside", "ratio", "low", "high", "n"]
    return ContributionsFinding(pl.DataFrame(rows, columns, orient="row"), NOWHERE, "", pl.DataFrame(), {}, [])


def test_where_attention_adds_most():
    assert contributions(0.5, 1.5, None).summary() == (
        "UP2 self-attention adds 1.50 times (1.50 to 1.50; 2 pictures of “a dog”) as much where something stands out "
        "as elsewhere, the most of 2; UP1 self-attention the least, 0.50 times (0.50 to 0.50; 2 pictures of “a dog”) "
        "as much."
    )
    assert contributions(1.5, 1.5).summary().endswith("as elsewhere, and so do all 2.")
    assert contributions(1.5).summary().endswith("as elsewhere.")
    assert "no inside to compare" in replace(contributions(1.5), table=contributions(1.5, None).table[1:]).summary()


def test_words_without_a_concept_are_ranked():
    heat = np.ones((2, 2))
    rows = [("a dog", 0, "a", 0.75, 0.2, 0.4, False), ("a dog", 0, "dog", 0.25, 0.5, 0.9, True)]
    table = pl.DataFrame(rows, ["prompt", "seed", "word", "mass", "iou", "auc", "hit"], orient="row")
    finding = MapsFinding(table, NOWHERE, "", [{"a": heat, "dog": heat}], [Image.new("RGB", (4, 4))], 0.4)
    best = (
        "Where “dog” is looked at ranks what stands out from the background above the rest (AUC 0.90, 0.90 to 0.90; "
        "0.50 by chance), and is most inside of it in 1 of 1 picture"
    )
    assert finding.summary() == (
        f"{best}, better than any other word; “a” is looked at most, with 75\u202f% of the attention to the words of "
        "its prompt."
    )
    assert replace(finding, concept="dog").summary() == f"{best}, better than any other word."
    assert replace(finding, concept="a").summary().endswith("in 0 of 1 picture; “dog” does so best, with 0.90.")
    nothing = table.with_columns(auc=pl.lit(None, pl.Float64), hit=pl.lit(None, pl.Boolean))
    assert replace(finding, table=nothing).summary().startswith("Nothing stands out from the background")


def test_how_much_words_cover():
    def of(covered, iou):
        table = pl.DataFrame(
            {"words": ["x"] * len(covered), "covered": covered, "iou": pl.Series(iou, dtype=pl.Float64)}
        )
        return SegmentFinding(table, NOWHERE, "", [], [], []).summary()

    assert of([0.25], [None]) == "What the words name covers a part of the picture: 25\u202f%."
    assert "of 2 pictures: 25\u202f% to 75\u202f%, 50\u202f% on average." in of([0.25, 0.75], [0.5, 0.7])
    assert of([0.25, 0.75], [0.5, 0.7]).endswith("The masks overlap the true ones by 0.60 (IoU, the mean).")
    assert "In 1 of 2 the mask is nothing or everything" in of([0.25, 1.0], [None, None])


def test_a_window_without_a_step_is_none():
    finding = interventions({"q1:MID": 1.0, "q2:MID": 0.5, "q3:MID": 0.75})
    assert "0 to 10 % of the steps least" in replace(finding, steps=10).summary()
    assert "30 to 60 % of the steps least" in replace(finding, steps=4).summary()
    none = replace(interventions({"q1:MID": 1.0}), steps=4).summary()
    assert none == "None of the windows holds a step: take more steps."


def trace(effects, clean=1.0, corrupted=0.0):
    rows = [(f"s{n}", kind, label, *effect, 0.5, 8) for n, (kind, label, effect) in enumerate(effects)]
    table = pl.DataFrame(rows, ["site", "kind", "label", "effect", "low", "high", "restored", "n"], orient="row")
    ends = Estimate(clean, clean, clean), Estimate(corrupted, corrupted, corrupted)
    return TraceFinding(table, NOWHERE, "", *ends, "church")


def test_what_gives_the_concept_back():
    summary = trace(
        [("resnet", "", (0.1, 0.0, 0.2)), ("resnet", "", (0.5, 0.3, 0.7)), ("attn", "MID", (0.2, 0.1, 0.3))]
    ).summary()
    assert "from 1.00 to 0.00 with noise in the place of “church”" in summary
    assert "resnet 2 raises it by 0.50 (0.30 to 0.70), the attn of MID by 0.20" in summary


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (trace([("resnet", "", (0.1, 0.0, 0.2)), ("resnet", "", (0.0, 0.0, 0.0))]), "more than chance might"),
        (
            trace([("resnet", "", (0.1, 0.1, 0.2)), ("resnet", "", (0.0, 0.0, 0.0))], 0.5, 0.5),
            "costs the picture nothing",
        ),
        (trace([("resnet", "", (0.5, 0.0, 1.0)), ("resnet", "", (0.0, 0.0, 0.0))], 0.0, 0.0), "nothing to lose"),
    ],
)
def test_what_gives_nothing_back_is_not_said_to(finding, expected):
    assert expected in finding.summary()
    assert "raises" not in finding.summary()


def entangle(near, far):
    answers = ((ALONE, far), (NEAR, near), (FAR, far))
    rows = [(company, f"object {n}", hit) for company, hits in answers for n, hit in enumerate(hits)]
    table = pl.DataFrame([(ALONE, 1.0), (NEAR, np.mean(near)), (FAR, np.mean(far))], ["company", "value"], orient="row")
    return EntangleFinding(table, NOWHERE, "", pl.DataFrame(rows, ["company", "object", "hit"], orient="row"), [])


def test_what_a_neighbour_costs():
    finding = entangle([True] * 5 + [False] * 15, [True] * 15 + [False] * 5)
    summary = finding.summary()
    assert f"25\u202f% of the pictures {NEAR} and in 75\u202f% of those {FAR}" in summary
    assert summary.endswith(f"a difference of {points_with_span(finding.harm)} points.") and "−50 (" in summary
    assert entangle([True, False], [True, True]).summary().endswith("points, which chance alone might give.")


def test_how_well_scores_agree_with_ablations():
    score, cad = [1.0, 2.0, 3.0, 5.0, 4.0], [5.0, 4.0, 3.0, 1.0, 2.0]
    table = pl.DataFrame({"measured": [1.0, 2.0, 3.0, 4.0, 5.0], "score": score, "cad": cad})
    summary = COARFinding(table, NOWHERE, "", 1.0).summary()
    assert "Over 5 modules" in summary and "alone does by r 0.90 (0.09 to 0.99)" in summary
    assert summary.endswith("CAD's first order by r −0.90 (−0.99 to −0.09).")


def heads(scores, chance):
    rows = [("s", "MID", number, "key", score, score, score) for number, score in enumerate(scores)]
    table = pl.DataFrame(rows, ["site", "label", "head", "part", "score", "low", "high"], orient="row")
    return HeadsFinding(table, NOWHERE, "", {}, {}, [], np.zeros(0), ["animals", "buildings"], chance=chance, p=0.5)


def test_a_best_head_is_held_against_chance():
    summary = heads([-0.1, 0.5, 0.4, 0.1], 0.3).summary()
    assert "animals and buildings are told apart best by the keys of MID's head 1 (silhouette 0.50" in summary
    assert "is above what the best of 4 sets of keys or values reaches by chance in 95 % of shuffles" in summary
    assert summary.endswith("of the words (0.30; p 0.5), as is 1 other.")
    assert heads([-0.1, 0.5], 0.3).summary().endswith("(0.30; p 0.5).")
    assert heads([0.5] * 3, 0.3).summary().endswith("as are 2 others.")
    assert "is not above what the best of 1 sets" in heads([0.3], 0.3).summary()


def test_which_layers_lose_the_concept():
    rows = [("untouched", 0.125, 0.0, 0.3, 8), ("MID", 0.25, 0.1, 0.5, 8), ("UP1", 0.75, 0.5, 0.9, 8)]
    table = pl.DataFrame(rows, ["window", "score", "low", "high", "n"], orient="row")
    summary = LocoGenFinding(table, NOWHERE, "", pl.DataFrame(), [], {}, "church").summary()
    assert summary.startswith("With other words in UP1, 75\u202f% (50\u202f% to 90\u202f%) of the pictures are without")
    assert "“church”" in summary and summary.endswith("of the untouched, 12\u202f% are.")


def test_how_well_edits_go_with_scores():
    summary = AgreementFinding(pl.DataFrame({"site": list("abcd")}), NOWHERE, "", 0.5, 0.25, 0.75, 0.01).summary()
    assert summary.endswith(
        "Over 4 sites, what edits do goes with the instrument's scores by ρ 0.50 (0.25 to 0.75; p 0.01)."
    )


def test_what_differs_by_less_than_is_written_is_said_to_be_alike() -> None:
    summary = dynamics([1, 1, 1], [0.371, 0.374, 0.368]).summary()
    assert summary.endswith("looks at the prompt's own words alike in all steps, with 37\u202f% of its probability.")
    hardly = dynamics([1, 1, 1], [0.38, 0.37, 0.36]).summary()
    assert hardly.endswith("alike in all steps, with 36\u202f% to 38\u202f% of its probability.")
    nearly = interventions({"q1:MID": 0.88, "q2:MID": 0.878, "q1:UP1": 0.878, "q2:UP1": 0.88}).summary()
    assert nearly.endswith(
        "On average over the layers, all parts of the steps that were tried count alike (12\u202f%)."
    )
    alike = interventions({"qALL": 0.501, "oMID": 0.499}, "layout").summary()
    assert alike.startswith("Under each of the 2 interventions") and "Most" not in alike
