"""What ships of each source, that it runs on any model, and what it takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.explain.replication import SOURCES, Replication, plan_of
from turpentine.judges import EmojiJudge
from turpentine.models import Model, count_rows

SMALL = {"seeds": (0,), "steps": 2}


@pytest.mark.parametrize("source", SOURCES)
def test_prompts_and_settings_ship_and_fit_the_models(source: str, emoji: Model, sd1: Model) -> None:
    its, own = plan_of(source), Replication(source).subjects(emoji)
    assert len(own) == 20 and len({subject.concept for subject in own}) == 10
    for subject in (*own, *its.prompts):
        assert subject.concept in subject.prompt
    for subject in own:
        assert emoji.text.find(subject.prompt, subject.concept)
    assert Replication(source).subjects(sd1) == its.prompts
    assert (source, its.steps["other"]) in {("thesis", 100), ("tracing", 50), ("words", 30)}


def test_the_thesis_has_its_windows_its_layers_and_every_single_one(emoji: Model) -> None:
    stops = {stop.name: stop for stop in Replication("thesis", **SMALL).stops(emoji)}
    assert list(stops) == [experiment.name for experiment in plan_of("thesis").stops]
    singles = [f"qDOWN{n}" for n in range(1, 7)] + ["qMID"] + [f"qUP{n}" for n in range(1, 10)]
    assert sorted(stops["single-layers"].settings.letters) == sorted(singles)
    assert stops["time-severed"].settings.letters[:4] == ("q1", "q2", "q3", "q4")
    assert stops["resnets"].settings.kind == "resnet"


def test_a_run_takes_as_many_rows_as_it_says_and_goes_on(
    emoji: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("turpentine.explain.tour.save_plot", lambda plot, path: (drawn.append(plot), path.touch()))
    replication = Replication("words", seeds=(0,), steps=1)
    stops = replication.stops(emoji)
    with count_rows(emoji) as count:
        results = replication(emoji, tmp_path)
    assert count.rows == sum(stop.rows for stop in stops) == replication.cost(emoji, stops).rows
    assert [result.name for result in results] == ["maps", "contributions"]
    assert len(pl.read_parquet(results[0].table)["prompt"].unique()) == 20
    assert all(figure.get_figheight() < 10 for figure in drawn), "five pictures, not all"
    with count_rows(emoji) as count:
        assert all(result.skipped for result in replication(emoji, tmp_path))
    assert count.rows == 0


def test_concepts_are_traced_where_a_judge_knows_them_and_only_there(emoji: Model, tmp_path: Path) -> None:
    replication = Replication("tracing", **SMALL)
    assert replication.stops(emoji) == []
    stops = replication.stops(emoji, EmojiJudge())
    assert [stop.name for stop in stops[:2]] == ["trace-denoiser", "trace-text"]
    assert [stop.name for stop in stops[2:4]] == ["locogen-cassette", "locogen-saw"] and len(stops) == 12
    assert stops[0].question == "What carries “cassette” and 9 more through the denoiser?"
    with count_rows(emoji) as count:
        finding = stops[3].run(None, None)
    assert count.rows == stops[3].rows
    assert finding.rows["prompt"].unique().str.contains("saw").all()


def test_what_stable_diffusion_would_take_goes_with_its_prompts_and_steps(emoji: Model) -> None:
    replication = Replication("thesis", seeds=(0,))
    stops = replication.stops(emoji)
    cost = replication.cost(emoji, stops)
    assert cost.sd14_rows == round(cost.rows * (5 * 100) / (20 * 20))
    assert cost.hours == pytest.approx(cost.sd14_rows * 0.0073 / 3600)
    fewer = replace(replication, rows=16)
    assert fewer.cost(emoji, stops).gigabytes < 4 < cost.gigabytes


def test_what_cannot_be_is_refused(emoji: Model) -> None:
    with pytest.raises(UnknownName, match="no source 'thesys' to replicate: there are thesis, tracing, words"):
        Replication("thesys").stops(emoji)
    with pytest.raises(BadArgument, match="no seed"):
        Replication("words", seeds=()).stops(emoji)
