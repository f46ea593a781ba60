"""InterveneFinding on whole pictures: the same as under hooks alone, counted, summed up and drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.explain._codes import usual
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain.intervene import Intervene, InterveneFinding
from turpentine.judges import EmojiJudge
from turpentine.models import Model, Sites, count_rows, hooked, sever
from turpentine.models.joint_reading import read_empty, read_nothing
from turpentine.stats.intervals import wilson
from turpentine.testing.toys import toy

PROMPTS, SEEDS = ["a church in noto style", "a dog in flat style", "a truck"], [0, 1, 2]


def test_pictures_are_those_of_each_intervention_alone(emoji: Model) -> None:
    found = Intervene(("q4", "qMID"), steps=5, rows=12)(emoji, PROMPTS, SEEDS)
    modules = emoji.sites.only(kind="cross-attention", level="module")
    for letters, sites in (("q4", modules.during(0.6, 1.0)), ("qMID", modules.only(label="MID"))):
        with sever(emoji, sites):
            alone = emoji.generate(PROMPTS, seeds=SEEDS, steps=5)
        for mine, theirs in zip(found.images[letters], alone, strict=True):
            assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2
    assert list(found.images) == ["untouched", "q4", "qMID"]


@pytest.mark.parametrize("family", ["sd3", "z"])
def test_in_joint_attention_the_picture_reads_no_text_or_that_of_no_words(family: str) -> None:
    """Side by side as each alone, in its window and its block, by the name of either attention."""
    model = toy(family)
    found = Intervene(("q4", "pBLOCK1", "r2"), steps=5)(model, PROMPTS[:2], SEEDS[:2])
    same = Intervene(("q4", "pBLOCK1", "r2"), "joint-attention", steps=5)(model, PROMPTS[:2], SEEDS[:2])
    modules = model.sites.only(kind="joint-attention", level="module")
    empty = read_empty(model)
    alone = {
        "q4": {modules.during(0.6, 1.0): read_nothing(model)},
        "pBLOCK1": {modules.only(label="BLOCK1"): empty},
        "r2": {modules.during(0.0, 0.1): empty, modules.during(0.3, 1.0): empty},
    }
    for letters, functions in alone.items():
        with hooked(model, functions):
            pictures = model.generate(PROMPTS[:2], seeds=SEEDS[:2], steps=5)
        for mine, again, theirs in zip(found.images[letters], same.images[letters], pictures, strict=True):
            assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2
            assert np.array_equal(np.asarray(mine), np.asarray(again))
    one, two = (np.asarray(found.images[name][0], int) for name in ("untouched", "q4"))
    assert np.abs(one - two).max() > 2


def test_what_joint_attention_cannot_read_is_refused_before_anything_is_drawn() -> None:
    model = toy("flux")
    assert usual(model) == ("q1", "q2", "q3", "q4", "qALL")
    with count_rows(model) as count, pytest.raises(BadArgument, match=r"FLUX\.1 computes guidance itself.*with q or o"):
        Intervene(("q1", "p4"), steps=5)(model, "a church", 0)
    assert count.calls == 0


def test_the_table_sums_up_the_rows(emoji: Model) -> None:
    found = Intervene(("qALL", "q1"), steps=5)(emoji, PROMPTS, SEEDS, judge=EmojiJudge())
    said = {name: EmojiJudge()(pictures)["object"].to_list() for name, pictures in found.images.items()}
    kept = sum(a == b for a, b in zip(said["qALL"], said["untouched"], strict=True))
    row = found.table.row(by_predicate=(pl.col("letters") == "qALL") & (pl.col("measure") == "object kept"), named=True)
    assert (row["value"], row["n"]) == (kept / 3, 3)
    assert (row["low"], row["high"]) == wilson(kept, 3)
    layout = found.rows.filter(pl.col("letters") == "qALL")["layout"].to_list()
    masks = [[foreground(image) for image in found.images[name]] for name in ("qALL", "untouched")]
    assert layout == [overlap(a, b) for a, b in zip(*masks, strict=True)]
    alike = found.table.filter((pl.col("letters") == "untouched") & pl.col("measure").str.contains("kept|layout"))
    assert alike["value"].to_list() == [1.0] * len(alike)
    assert found.rows.filter(pl.col("letters") == "q1").select("prompt", "seed").rows() == list(
        zip(PROMPTS, SEEDS, strict=True)
    )


def test_layers_and_windows_share_the_denoiser(whole_sd1: Model) -> None:
    """The sweep of 16 modules × 4 windows, against each alone beside the untouched picture that it is compared with."""
    labels = [site.label for site in whole_sd1.sites.only(kind="cross-attention", level="module")]
    letters = tuple(f"q{window}:{label}" for label in labels for window in "1234")
    with count_rows(whole_sd1) as count:
        Intervene(letters, steps=10)(whole_sd1, "a church", 0)
    shared = 2 * (10 + 16 * (10 + 9 + 7 + 4))
    alone = 2 * 64 * (10 + 10)
    assert (count.rows, count.calls) == (shared, 10)
    assert shared / alone < 0.4


def test_batches_change_nothing(emoji: Model) -> None:
    small, large = (Intervene(("q2",), steps=4, rows=rows)(emoji, PROMPTS, SEEDS) for rows in (4, 256))
    for name in small.images:
        for mine, theirs in zip(small.images[name], large.images[name], strict=True):
            assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2


def test_it_is_drawn_and_saved(emoji: Model, tmp_path) -> None:
    told = []
    found = Intervene(("q1", "oMID"), steps=2)(emoji, PROMPTS, SEEDS, progress=lambda *done: told.append(done))
    found.plot().savefig(tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").width > 300
    found.save(tmp_path / "table.parquet")
    assert pl.read_parquet(tmp_path / "table.parquet").equals(found.table)
    assert told[-1] == (3, 3)


def test_nothing_to_try_is_told(emoji: Model) -> None:
    with pytest.raises(BadArgument, match="feed-forward does not read"):
        Intervene(("q1", "p1"), kind="feed-forward")(emoji, "a church", 0)
    with pytest.raises(BadArgument, match="no intervention to try"):
        Intervene(())(emoji, "a church", 0)
    with pytest.raises(BadArgument, match="score letters and no sites"):
        Intervene(("q1",), steps=2)(emoji, "a church", 0).sites()


def interventions(letters: list[str]) -> InterveneFinding:
    rows = [(name, "layout", 1 - number / 10, 0.0, 1.0, 1) for number, name in enumerate(["untouched", *letters])]
    table = pl.DataFrame(rows, ["letters", "measure", "value", "low", "high", "n"], orient="row")
    return InterveneFinding(table, Sites((), ()), "", pl.DataFrame(), {})


def test_a_grid_is_every_window_of_every_layer_by_one_act() -> None:
    windows, layers, kept = interventions(["p1:MID", "p2:MID", "p1:UP1", "p2:UP1"]).grid("layout")
    assert (windows, layers) == (["1", "2"], ["MID", "UP1"])
    np.testing.assert_allclose(kept, [[0.9, 0.8], [0.7, 0.6]])


def test_a_window_without_a_step_is_marked() -> None:
    letters = ["q1:MID", "q2:MID", "q1:UP1", "q2:UP1"]
    found = replace(interventions(letters), steps=4)
    assert [found.is_idle(each) for each in letters] == [True, False, True, False]
    shown = [label.get_text() for label in found.plot_grid("layout").axes[0].get_xticklabels()]
    assert shown == ["0–10 %\n(no step)", "10–30 %"]
    shown = [label.get_text() for label in found.plot().axes[0].get_yticklabels()]
    assert shown == ["untouched", "q1:MID (no step)", "q2:MID", "q1:UP1 (no step)", "q2:UP1"]
    assert not any(replace(found, steps=20).is_idle(each) for each in letters)


@pytest.mark.parametrize(
    "letters",
    [
        ["q1:MID", "p2:MID"],
        ["q1:MID", "q2:MID", "p1:UP1", "p2:UP1"],
        ["q1:MID", "q2:UP1"],
        ["q1:MID", "q1:UP1", "q2:MID", "q2:UP1"],
        ["q1", "q2"],
        ["qMID"],
        [],
    ],
)
def test_other_letters_are_no_grid(letters: list[str]) -> None:
    with pytest.raises(BadArgument, match="are no grid"):
        interventions(letters).grid("layout")
