"""What ships of each source, that it runs on any model, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.explain._subjects import WORLD
from turpentine.explain.heads import Heads
from turpentine.explain.replication import SOURCES, Replication, plan_of
from turpentine.explain.segment import Segment
from turpentine.judges import EmojiJudge
from turpentine.models import Model, count_rows

DOCS = Path(__file__).parents[2] / "docs"
SMALL = {"seeds": (0,), "steps": 2}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One prompt of each set."""

    def first(subjects: Callable[[], list[object]]) -> Callable[[], list[object]]:
        return lambda: subjects()[:1]

    for name, subjects in WORLD.items():
        monkeypatch.setitem(WORLD, name, first(subjects))  # type: ignore[misc]


@dataclass(frozen=True)
class Hasty(Segment):
    updates: int = 1


@dataclass(frozen=True)
class Rash(Heads):
    shuffles: int = 5


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of one update, and heads against few shuffles."""
    monkeypatch.setattr("turpentine.explain._experiments.Segment", Hasty)
    monkeypatch.setattr("turpentine.explain._experiments.Heads", Rash)
    monkeypatch.setattr("turpentine.explain._experiments.background", lambda: ("a church", "a dog"))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Plots, which are not drawn."""
    plots: list[Figure] = []
    monkeypatch.setattr("turpentine.explain.tour.save_plot", lambda plot, path: (plots.append(plot), path.touch()))
    return plots


@pytest.mark.parametrize("source", SOURCES)
def test_prompts_and_settings_ship_and_fit_the_models(source: str, emoji: Model, sd1: Model) -> None:
    its, own = plan_of(source), Replication(source).prompts(emoji)
    assert len(own["captions"]) == 20 and len({subject.concept for subject in own["captions"]}) == 10
    for subject in [each for subjects in (*own.values(), *its.prompts.values()) for each in subjects]:
        assert all(word in subject.prompt for word in (subject.concept, *subject.words.values()))
    for subject in [each for subjects in own.values() for each in subjects]:
        assert all(emoji.text.find(subject.prompt, word) for word in (subject.concept, *subject.words.values()))
    assert Replication(source).prompts(sd1) == its.prompts
    assert (source, its.steps["other"]) in {("thesis", 100), ("tracing", 50), ("words", 30)}


def test_the_thesis_has_its_windows_its_layers_and_every_single_one(emoji: Model) -> None:
    stops = {stop.name: stop for stop in Replication("thesis", **SMALL).stops(emoji)}
    assert list(stops) == [experiment.name for experiment in plan_of("thesis").stops]
    docs = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    marks = [part.name for source in SOURCES for part in plan_of(source).stops if part.name not in ("dynamics", "time")]
    assert [mark for mark in marks if f"<!-- {mark} -->\n" not in docs] == []
    singles = [f"qDOWN{n}" for n in range(1, 7)] + ["qMID"] + [f"qUP{n}" for n in range(1, 10)]
    assert stops["layers-q"].settings.letters == (*singles, "qHIGHRES", "qLOWRES")
    assert stops["time"].settings.letters[:4] == ("q1", "q2", "q3", "q4")
    assert stops["grid"].settings.letters[3:6] == ("q4:DOWN1", "q1:DOWN2", "q2:DOWN2")
    assert len(stops["grid"].settings.letters) == 64
    assert stops["two-objects"].settings.letters[:4] == ("qDOWN1", "oDOWN1", "rDOWN1", "qDOWN2")
    assert stops["layers-resnet"].settings.kind == "resnet"


def test_a_run_takes_as_many_rows_as_it_says_and_goes_on(emoji: Model, tmp_path: Path, figures: list[Figure]) -> None:
    replication = Replication("words", seeds=(0,), steps=1, only=("contributions",))
    stops = replication.stops(emoji)
    with count_rows(emoji) as count:
        results = replication(emoji, tmp_path)
    assert count.rows == sum(stop.rows for stop in stops) == replication.cost(emoji, stops).rows
    assert len(pl.read_parquet(results[0].table)["prompt"].unique()) == 20
    assert all(figure.get_figheight() < 10 for figure in figures), "five pictures, not all"
    with count_rows(emoji) as count:
        assert all(result.skipped for result in replication(emoji, tmp_path))
    assert count.rows == 0 and "only" not in replication.about(emoji), "what is left out changes no number"
    (tmp_path / "contributions" / "tables.md").unlink()
    with pytest.warns(UserWarning, match=r"tables\.md is missing or damaged"):
        assert not replication(emoji, tmp_path)[0].skipped


@pytest.mark.parametrize(
    ("source", "only", "marks", "plots"),
    [
        (
            "thesis",
            ("dynamics", "time", "grid", "two-objects", "layers-resnet", "clock", "memorised", "heads"),
            "curves peaks severed swapped deblurring grid grid-object two-objects layers-resnet clock memorised heads",
            "time-dynamics time-severed time-swapped layers-grid layers-two layers-resnet layers-clock "
            "layers-memorised heads-categories "
            "heads-colours heads-styles heads-meanings",
        ),
        (
            "tracing",
            ("trace-text-object", "trace-text-style", "trace-denoiser-colour", "trace-text-scene", "locogen"),
            "trace-text-object trace-text-style trace-denoiser-colour trace-text-scene locogen",
            "tracing-text-object tracing-denoiser-colour tracing-text-scene",
        ),
        (
            "words",
            ("maps", "small", "pairs", "company", "contributions", "segments"),
            "maps words small halves pairs company contributions segments",
            "words-maps words-two words-company words-contributions words-segments words-segments-beside",
        ),
    ],
)
@pytest.mark.usefixtures("few", "figures", "quick")
def test_each_source_makes_the_tables_and_figures_of_the_pages(
    source: str, only: tuple[str, ...], marks: str, plots: str, emoji: Model, tmp_path: Path
) -> None:
    replication = Replication(source, seeds=(0,), steps=1 if source == "tracing" else 2, only=only)
    judge = EmojiJudge()
    stops = replication.stops(emoji, judge)
    with count_rows(emoji) as count:
        results = replication(emoji, tmp_path, judge=judge)
    assert count.rows == sum(stop.rows for stop in stops)
    text = "".join((result.folder / "tables.md").read_text() for result in results)
    made_files = {path.stem for path in tmp_path.glob("*/*.png")}
    assert all(f"<!-- {mark} -->\n" in text and f"<!-- /{mark} -->" in text for mark in marks.split())
    assert made_files >= set(plots.split()) and "nan" not in text
    docs = "".join(path.read_text() for path in DOCS.glob("*.md"))
    assert all(f"<!-- {mark} -->\n" in docs for mark in marks.split())
    heads = {line for line in text.splitlines() if line.startswith("|") and "---" not in line and "%" in line}
    assert {line for line in heads if line.count("%") > 1 and line not in docs} == set()


def test_concepts_are_traced_where_a_judge_knows_them_and_only_there(emoji: Model, few: None) -> None:
    replication = Replication("tracing", **SMALL)
    assert replication.stops(emoji) == []
    stops = {stop.name: stop for stop in replication.stops(emoji, EmojiJudge())}
    assert len(stops) == 9
    assert stops["trace-denoiser-object"].question == "What carries “cassette” through the denoiser?"
    assert stops["trace-text-style"].question == "What carries “blob” through the text encoder?"
    assert stops["trace-text-style"].settings.column == "style"
    with count_rows(emoji) as count:
        finding = stops["locogen"].run(None, None)
    assert count.rows == stops["locogen"].rows
    assert finding.rows["concept"].unique().to_list() == ["cassette"]


def test_an_orange_background_is_a_colour_and_no_fruit(emoji: Model) -> None:
    stops = {stop.name: stop for stop in Replication("tracing", **SMALL).stops(emoji, EmojiJudge())}
    assert stops["trace-denoiser-colour"].settings.column == "colour"


def test_what_stable_diffusion_would_take_goes_with_its_prompts_and_steps(emoji: Model) -> None:
    replication = Replication("thesis", seeds=(0,), only=("time",))
    stops = replication.stops(emoji)
    cost = replication.cost(emoji, stops)
    assert cost.sd14_rows == round(cost.rows * (5 * 100) / (20 * 20))
    assert cost.hours == pytest.approx(cost.sd14_rows * 0.0073 / 3600)
    fewer = replace(replication, rows=16)
    assert fewer.cost(emoji, stops).gigabytes < 4 < cost.gigabytes
    alone = Replication("words", seeds=(0,), only=("small",))
    assert alone.cost(emoji, alone.stops(emoji)).sd14_rows == 0, "which has no such captions"


def test_other_models_have_the_experiments_that_need_no_world(sd1: Model) -> None:
    for source, names in {"thesis": 13, "words": 3}.items():
        assert len(Replication(source).experiments(sd1)) == names
    names = [part.name for part in Replication("words").experiments(sd1)]
    assert names == ["maps", "contributions", "coar"]
    with pytest.raises(UnknownName, match="words has no experiment 'company' on this model"):
        Replication("words", only=("company",)).stops(sd1)


def test_what_cannot_be_is_refused(emoji: Model) -> None:
    with pytest.raises(UnknownName, match="no source 'thesys' to replicate: there are thesis, tracing, words"):
        Replication("thesys").stops(emoji)
    with pytest.raises(BadArgument, match="no seed"):
        Replication("words", seeds=()).stops(emoji)
    with pytest.raises(UnknownName, match="thesis has no experiment 'cloc' on this model: did you mean 'clock'"):
        Replication("thesis", only=("cloc",)).stops(emoji)
