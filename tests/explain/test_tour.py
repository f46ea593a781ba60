import json
import shutil
from dataclasses import replace

import polars as pl
import pytest

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.parts import DamagedPart
from turpentine.explain._plots import save_plot
from turpentine.explain.heads import TOUR_GROUPS as GROUPS
from turpentine.explain.tour import Tour
from turpentine.models import count_rows

TOUR = Tour("a church on a blue background", "church", seeds=(0, 1), steps=3)
SMALL = replace(TOUR, seeds=(0,), steps=1)


def record_of(folder):
    """The files that say that a stop is finished."""
    return list(folder.glob("*.part.json"))


@pytest.fixture(scope="module")
def gone(sd1, judge, tmp_path_factory):
    """A finished tour, its folder, and what it was told of its progress; only to be looked at."""
    folder, told = tmp_path_factory.mktemp("tour"), []
    return TOUR(sd1, folder, judge=judge, progress=lambda *now: told.append(now)), folder, told


@pytest.fixture
def blank(monkeypatch):
    """Pictures of stops are blank, where a test is about something else: most of a small tour's time is theirs."""
    monkeypatch.setattr("turpentine.explain.tour.save_plot", lambda figure, path: path.write_bytes(b"blank"))


def test_every_stop_leaves_a_table_a_picture_and_a_sentence(gone):
    stops, folder, told = gone
    assert [stop.name for stop in stops] == ["dynamics", "maps", "intervene", "trace-denoiser", "trace-text", "heads"]
    for stop in stops:
        assert stop.folder == folder / stop.name
        assert len(pl.read_parquet(stop.table)) > 0
        assert stop.plot.read_bytes().startswith(b"\x89PNG")
        assert stop.text.endswith(".") and not stop.skipped
    assert {name for name, done, total in told if done == total} == {stop.name for stop in stops} - {"heads"}


def test_the_same_again_does_nothing_and_another_setting_does_it_anew(gone, sd1, judge, tmp_path, blank):
    before, folder, _ = gone
    with count_rows(sd1) as count:
        again = TOUR(sd1, folder, judge=judge)
    assert count.rows == 0
    assert [(stop.text, stop.skipped) for stop in again] == [(stop.text, True) for stop in before]
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert all(TOUR.is_done(stop, sd1, copy, judge) for stop in TOUR.stops(sd1, judge))
    assert not any(stop.skipped for stop in replace(SMALL, guidance_scale=2.0)(sd1, copy, judge=judge))
    assert not any(TOUR.is_done(stop, sd1, copy, judge) for stop in TOUR.stops(sd1, judge))


def test_a_tour_that_was_broken_off_goes_on_with_the_stop_that_it_was_at(sd1, judge, tmp_path, blank):
    def stop_in_intervene(name, done, total):
        if name == "intervene":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL(sd1, tmp_path, judge=judge, progress=stop_in_intervene)
    assert not record_of(tmp_path / "intervene")
    skipped = [stop.name for stop in SMALL(sd1, tmp_path, judge=judge) if stop.skipped]
    assert skipped == ["dynamics", "maps"]


def test_other_files_in_the_folders_of_a_tour_are_left_alone(sd1, tmp_path, blank):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.txt").write_text("kept")
    SMALL(sd1, tmp_path)
    assert (tmp_path / "maps" / "mine.txt").read_text() == "kept"
    assert (tmp_path / "maps" / "table.parquet").exists()


def test_a_stop_whose_files_are_damaged_is_done_again(gone, sd1, judge, tmp_path):
    folder = shutil.copytree(gone[1], tmp_path / "copy")
    (folder / "maps" / "plot.png").unlink()
    record_of(folder / "heads")[0].write_text("{")
    (folder / "trace-text" / "table.parquet").write_bytes(b"PAR1")
    with pytest.warns(DamagedPart, match="damaged: it is computed anew") as warned:
        done = [stop.name for stop in TOUR(sd1, folder, judge=judge) if not stop.skipped]
    assert len([warning for warning in warned if warning.category is DamagedPart]) == 3
    assert done == ["maps", "trace-text", "heads"]


@pytest.mark.parametrize("settings", [{}, {"rows": 40}, {"rows": 5, "steps": 1}, {"guidance_scale": 1.0}])
def test_the_rows_that_are_told_are_those_that_are_taken(settings, sd1, judge):
    for stop in replace(TOUR, **{"steps": 2, "seeds": (0,), **settings}).stops(sd1, judge):
        if settings and stop.name == "heads":
            continue  # which draws nothing, whatever the settings
        with count_rows(sd1) as count:
            stop.run(None, None)
        assert count.rows == stop.rows, stop.name


def test_no_call_of_the_denoiser_has_more_rows_than_are_allowed(sd1, judge):
    largest = []
    counting = sd1.denoiser.register_forward_pre_hook(
        lambda _, args, kwargs: largest.append(len(args[0] if args else kwargs["sample"])), with_kwargs=True
    )
    for stop in replace(SMALL, rows=16).stops(sd1, judge):
        if stop.rows:
            stop.run(None, None)
    counting.remove()
    assert max(largest) == 16


def test_some_letters_at_a_time_find_what_all_of_them_do(sd1, judge):
    """But for rounding, which depends on the rows of a call."""
    told = []
    whole, parts = (
        {stop.name: stop for stop in replace(TOUR, steps=2, rows=rows).stops(sd1, judge)}["intervene"]
        for rows in (256, 12)
    )
    one, other = whole.run(None, None), parts.run(None, lambda *now: told.append(now))
    assert one.table.select("letters", "measure", "n").equals(other.table.select("letters", "measure", "n"))
    assert (one.table["value"] - other.table["value"]).abs().max() < 0.05
    assert list(one.images) == list(other.images) and one.rows.shape == other.rows.shape
    assert told == sorted(set(told)) and told[-1] == (8, 8)


@pytest.mark.parametrize("prompt", ["a Church, red", "church", "a church 中 house", r"a church $\frac$ house"])
def test_prompts_as_people_write_them(prompt, emoji, tmp_path):
    """In the stops whose pictures speak of the prompt's words."""
    found = {}
    for stop in Tour(prompt, "church", (0,), 1).stops(emoji):
        if stop.name in ("dynamics", "maps"):
            found[stop.name] = stop.run(None, None)
            save_plot(stop.plot(found[stop.name]), tmp_path / f"{stop.name}.png")
    maps = found["maps"]
    assert "“church” is looked at" in maps.summary()
    assert ("without a map: 中." in maps.summary()) == ("中" in prompt)
    assert maps.table["word"].str.contains("church").sum() == 1


def test_without_a_judge_that_knows_nothing_is_traced_and_layers_are_told_by_the_layout(sdxl, judge):
    tour = Tour("a spoon", "spoon", seeds=(0,), steps=2)
    for each in (None, judge):
        stops = {stop.name: stop for stop in tour.stops(sdxl, each)}
        assert set(stops) == {"dynamics", "maps", "intervene", "heads"}
    found = stops["intervene"].run(None, None)
    assert found.measure == "layout"
    assert "layout" in found.summary() or "changes anything" in found.summary()


def test_what_cannot_be_toured_is_said_before_any_work(sd1, tmp_path):
    with pytest.raises(EmptyConcept, match="'dog' is not in"):
        replace(TOUR, concept="dog")(sd1, tmp_path / "new")
    with pytest.raises(BadArgument, match="no seed"):
        replace(TOUR, seeds=())(sd1, tmp_path / "new")
    with pytest.raises(BadArgument, match=r"has \d+ tokens and the model reads \d+: '.*a church church' would"):
        replace(TOUR, prompt="a church " * 60 + "church")(sd1, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_a_stop_stands_for_is_written_down(gone):
    facts = json.loads(record_of(gone[0][2].folder)[0].read_text())["about"]
    assert facts["tour"]["prompt"] == TOUR.prompt
    assert facts["instrument"][0] == "Intervene"
    assert facts["judge"][0] == "emoji"


def test_the_groups_share_no_word():
    words = [word for group in GROUPS.values() for word in group]
    assert len(words) == len(set(words))
