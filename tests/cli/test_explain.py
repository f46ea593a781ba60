"""`turpentine explain` as a user has it: what is printed and written, and what is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from processes import Started

from turpentine.cli.app import run
from turpentine.explain.clock import Clock

pytestmark = pytest.mark.usefixtures("loaded_once")


def told(capsys: pytest.CaptureFixture[str], *tokens: str) -> tuple[int, str, str]:
    code = run(["explain", *tokens])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("tokens", "columns"),
    [
        (["intervene", "a church", "--letters", "q1,oMID", "--seeds", "0-1"], {"letters", "measure", "value"}),
        (["dynamics", "a church", "--seeds", "0"], {"measure", "label", "step", "value"}),
        (["maps", "a church in noto style", "--words", "church", "--words", "noto style"], {"word", "mass", "iou"}),
        (["trace", "a church", "--concept", "church", "--where", "text", "--seeds", "0"], {"label", "effect", "low"}),
        (
            ["clock", "a church", "--times", "-0.2,shuffled", "--layers", "LOWRES", "--seeds", "0"],
            {"letters", "measure", "value"},
        ),
        (["clock", "a church", "--times=+0.1", "--seeds", "0", "--rows", "4"], {"letters", "measure", "value"}),
        (["locogen", "A Church", "--concept", "church", "--seeds", "0", "--width", "8"], {"window", "score", "low"}),
        (
            ["locogen", "a dog in noto style", "--concept", "noto style", "--target", "flat style", "--seeds", "0"],
            {"window", "score", "n"},
        ),
        (["entangle", "dog=cat,church", "owl=penguin,apple", "--seeds", "0"], {"company", "value", "low"}),
        (["contributions", "a car", "--seeds", "0-1", "--sites", "UP4,UP7"], {"kind", "label", "ratio"}),
        (["heads", "animals=dog,cat,owl", "buildings=church,house"], {"label", "head", "part", "score"}),
    ],
)
def test_each_instrument_prints_its_table_and_writes_it_and_a_picture(
    tokens: list[str], columns: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [] if tokens[0] == "heads" else ["--steps", "2"]
    code, out, _ = told(capsys, *tokens, *steps, "--save", str(tmp_path))
    assert code == 0
    assert any(all(column in line for column in columns) for line in out.splitlines())
    assert str(tmp_path / "table.parquet") in out and str(tmp_path / "plot.png") in out
    assert columns <= set(pl.read_parquet(tmp_path / "table.parquet").columns)
    assert Image.open(tmp_path / "plot.png").width > 300


def test_what_was_killed_goes_on_with_the_same_command(
    begin: Callable[..., Started], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["intervene", "a church", "--letters", "q4", "--seeds", "0-5", "--rows", "4", "--steps", "3"]
    out, parts = tmp_path / "found", tmp_path / "found" / "parts"
    started = begin("explain", *tokens, "--out", str(out))
    while started.poll() is None and not list(parts.glob("[0-9a-f]*")):
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("[0-9a-f]*")}
    assert kept and not (out / "table.parquet").exists()

    done: list[dict[Path, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "turpentine.core.atomic_files.discard",
            lambda folder, *patterns: done.append({path: path.stat().st_mtime_ns for path in folder.glob("[0-9a-f]*")}),
        )
        assert told(capsys, *tokens, "--out", str(out))[0] == 0
    assert kept.items() <= done[0].items() and len(done[0]) == 6
    assert told(capsys, *tokens, "--out", str(out))[0] == 0
    assert not parts.exists()
    assert told(capsys, *tokens, "--out", str(tmp_path / "whole"))[0] == 0
    went_on, whole = (pl.read_parquet(folder / "table.parquet") for folder in (out, tmp_path / "whole"))
    assert went_on.equals(whole)


def test_a_trace_leads_to_an_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(
        capsys,
        "trace",
        "a church",
        "--concept",
        "church",
        "--seeds",
        "0",
        "--steps",
        "2",
        "--out",
        str(tmp_path),
        "--json",
    )
    assert code == 0
    found = json.loads(out)
    from turpentine import Concept, Edit, load
    from turpentine.erase.esd import ESD

    model = load()
    esd = ESD.preset(model, sites_from=found["files"][0], top=3, steps=1, trajectories=1, sampling_steps=2)
    edit = esd(model, Concept("church"))
    assert isinstance(edit, Edit)
    best = sorted(found["table"], key=lambda row: row["effect"], reverse=True)[:3]
    assert all(any(name.startswith(row["site"]) for row in best) for name in edit.deltas)


def test_what_a_neighbour_costs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["entangle", "dog=cat,church", "--seeds", "0-1", "--steps", "2", "--out", str(tmp_path)]
    _, out, _ = told(capsys, *tokens)
    assert "a difference of" in out and " points" in out
    harm = json.loads(told(capsys, *tokens, "--json")[1])["harm"]
    assert -1 <= harm["low"] <= harm["value"] <= harm["high"] <= 1


HEADS = ("heads", "animals=dog,cat,owl", "buildings=church,house")


def test_heads_are_held_against_chance_and_drawn_before_a_background(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "captions.txt").write_text("a red car\n\na cat in noto style\n", encoding="utf-8")
    _, plain, _ = told(capsys, *HEADS, "--out", str(tmp_path / "plain"))
    assert "animals and buildings are told apart best by" in plain and "; p " in plain
    tokens = [*HEADS, "--background", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "before"), "--json"]
    found = json.loads(told(capsys, *tokens)[1])
    assert -1 < found["chance"] < 1 and 0 < found["p"] <= 1
    assert found["above"] == sum(row["score"] > found["chance"] for row in found["table"])
    one, other = ((tmp_path / name / "plot.png").read_bytes() for name in ("plain", "before"))
    assert one != other


def test_ablations_are_held_against_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--kinds", "cross-attention", "--trials", "34", "--share", "0.2", "--steps", "1"]
    code, out, _ = told(capsys, "coar", "a church", *few, "--out", str(tmp_path), "--json")
    assert code == 0
    found = json.loads(out)
    assert {row["kind"] for row in found["table"]} == {"cross-attention"}
    assert set(found["agreement"]) == {"score", "cad"}
    assert all(-1 <= r["low"] <= r["value"] <= r["high"] <= 1 for r in found["agreement"].values())
    table = pl.read_parquet(tmp_path / "table.parquet")
    assert {"site", "kind", "score", "low", "high", "measured", "cad"} <= set(table.columns)
    assert Image.open(tmp_path / "plot.png").width > 300


def test_words_are_found_in_picture_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.png", "b.png", "contact-sheet.png"):
        Image.new("RGB", (32, 32), "red").save(pictures / name)
    out_folder = tmp_path / "out"
    tokens = ["segment", str(pictures), "--concept", "a church", "--updates", "2", "--batch-size", "2"]
    code, out, _ = told(capsys, *tokens, "--out", str(out_folder))
    assert code == 0 and "a.png" in out and "contact-sheet" not in out
    table = pl.read_parquet(out_folder / "table.parquet")
    assert table["picture"].to_list() == ["a.png", "b.png"] and table["words"].to_list() == ["a church"] * 2
    masks = [np.asarray(Image.open(out_folder / name)) for name in table["mask"]]
    assert [mask.shape for mask in masks] == [(32, 32)] * 2
    assert [mask.mean() for mask in masks] == pytest.approx(table["covered"].to_list())
    assert Image.open(out_folder / "plot.png").width > 300


def test_pictures_of_one_name_are_told_apart_and_their_masks_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder, colour in zip(folders, ("red", "blue"), strict=True):
        folder.mkdir()
        Image.new("RGB", (32, 32), colour).save(folder / "a.png")
    tokens = ["segment", *map(str, folders), "--concept", "a church", "--updates", "1", "--batch-size", "1", "--json"]
    found = json.loads(told(capsys, *tokens, "--out", str(tmp_path / "out"))[1])
    assert [row["picture"] for row in found["table"]] == [str(folder / "a.png") for folder in folders]
    assert [Path(file).name for file in found["files"]] == ["table.parquet", "plot.png", "mask-1.png", "mask-2.png"]
    assert sorted(map(Path, found["files"])) == sorted((tmp_path / "out").iterdir())


def test_rows_follow_the_free_memory_and_stay_with_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    free, used, call = iter([2, 256]), list[int](), Clock.__call__
    monkeypatch.setattr("turpentine.models.row_memory.fitting_rows", lambda model: next(free))
    monkeypatch.setattr(
        Clock, "__call__", wraps(call)(lambda self, *a, **k: used.append(self.rows) or call(self, *a, **k))
    )
    line = ["clock", "a church", "--times=+0.1", "--seeds", "0", "--steps", "1", "--out"]
    warned = []
    for out, more in [("short", ()), ("short", ()), ("wide", ()), ("given", ("--rows", "3"))]:
        code, _, said = told(capsys, *line, str(tmp_path / out), *more)
        assert code == 0
        warned.append("Memory is short: 2 rows of the denoiser" in said)
    assert used == [2, 2, 256, 3]
    assert warned == [True, False, False, False]


@pytest.mark.parametrize(
    ("words", "size", "said"),
    [("", 32, "There are no words"), (" ", 32, "There are no words"), ("a church", 16, "A picture is 16 x 16")],
)
def test_pictures_that_cannot_be_segmented_are_refused(
    words: str, size: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (size, size)).save(tmp_path / "a.png")
    code, out, err = told(
        capsys, "segment", str(tmp_path / "a.png"), "--concept", words, "--out", str(tmp_path / "out")
    )
    assert (code, out) == (2, "")
    assert said in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("held", [b" \n\n", b"\xff\xfe\x00"])
def test_a_background_without_prompts_is_refused(
    held: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "captions.txt").write_bytes(held)
    code, _, err = told(capsys, *HEADS, "--background", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "out"))
    assert code == 2 and "captions.txt" in err and "on each line" in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tokens", "told_"),
    [
        (["intervene"], "There is no prompt"),
        (["intervene", "a church", "--letters", "z9"], "'z9' is no intervention"),
        (["intervene", "a church", "--letters", "q9"], "no window '9'"),
        (["intervene", "a church", "--letters", "qUP77"], "UP77"),
        (["maps", "a church", "--words", "dog"], "'dog' is not in"),
        (["trace", "a church", "--concept", "dog"], "'dog' is not in"),
        (["trace", "a church", "--concept", "church", "--column", "taste"], "no column 'taste'"),
        (["trace", "a dog in noto style", "--concept", "style"], "never says 'style' in object"),
        (["trace", "a church in noto style", "--concept", "church in"], "did you mean 'church'"),
        (["trace", "a dog", "--concept", "dog", "--by", ""], "There is no judge"),
        (["trace", "a dog", "--concept", "dog", "--model", "folder"], "There is no model at folder"),
        (["locogen", "a dog", "--concept", "dog", "--by", "none"], "There is no judge"),
        (["entangle", "dog=cat,church", "--by", "none"], "There is no judge"),
        (["clock"], "There is no prompt"),
        (["clock", "a church", "--times", "later"], "'later' is no other time"),
        (["clock", "a church", "--times", "-1.5"], "more than the whole schedule"),
        (["clock", "a church", "--times", ","], "no other time"),
        (["clock", "a church", "--layers", "UP77"], "UP77"),
        (["locogen", "a church", "--concept", "dog"], "'dog' is not in"),
        (["locogen", "a church", "--concept", "church", "--width", "17"], "no window of 17 layers"),
        (["locogen", "a church", "--concept", "church", "--column", "style"], "never says 'church' in style"),
        (["locogen", "a church", "--concept", "church", "--column", "object_p"], "object_p is no label"),
        (["entangle"], "one at least"),
        (["entangle", "dog=cat"], "'dog=cat' is no object in company"),
        (["entangle", "church in=cat,dog"], "did you mean 'church'"),
        (["intervene", "a dog " * 60], "would be cut off"),
        (["heads", "dog,cat"], "two groups or more"),
        (["heads", "dog,cat", "church,house", "--template", "a"], "no place for a word"),
        (
            ["heads", "dog,cat", "church,house", "--background", "nowhere.txt"],
            "No such file or directory",
        ),
        (["intervene", "a church", "--seeds", "x"], "x"),
        (["coar"], "There is no prompt"),
        (["coar", "a church", "--trials", "9"], "9 trials cannot tell"),
        (["coar", "a church", "--share", "1"], "over 0 and less than 1"),
        (["coar", "a church", "--kinds", "nothing"], "No site has kind 'nothing'"),
        (["segment", "--concept", "a church"], "There is no picture"),
        (["segment", "nowhere.png", "--concept", "a church"], "No such file"),
        (["segment", __file__, "--concept", "a church"], "is no picture"),
        (["segment", __file__], "--concept"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    tokens: list[str], told_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(capsys, *tokens, "--out", str(tmp_path / "out"))
    assert code == 2 and out == ""
    assert told_ in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_help_names_the_instruments_and_their_flags(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = told(capsys, "--help")
    names = ("intervene", "dynamics", "maps", "trace", "clock", "locogen", "entangle", "heads", "coar", "segment")
    assert all(name in out for name in (*names, "contributions"))
    _, out, _ = told(capsys, "trace", "--help")
    assert "words of the prompts" in out.lower() and "--sites-from" in out


TOUR = ("a church on a blue background", "--concept", "church", "--seeds", "0", "--steps", "1")


def test_a_prompt_alone_is_a_tour_with_a_page_that_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capsys, *TOUR, "--out", str(tmp_path), "--dry-run")
    assert code == 0
    assert "trace-text" in out and "In all about" in out
    assert not list(tmp_path.iterdir())
    code, out, _ = told(capsys, *TOUR, "--out", str(tmp_path))
    assert code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 6
    assert str(tmp_path / "report.html") in out and "done before" not in out
    code, out, _ = told(capsys, *TOUR, "--out", str(tmp_path))
    assert code == 0
    assert out.count("(done before)") == 6
    code, out, _ = told(capsys, *TOUR, "--out", str(tmp_path), "--dry-run")
    assert code == 0 and out.count("done before") == 6 and "In all about 0 s" in out


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("a dog", "--concept", "church"), "'church' is not in"),
        (("a dog", "--concept", "dog", "--seeds", "x"), "'x' are no seeds"),
        (("a dog", "--concept", "dog", "--by", "nobody"), "nobody"),
        (("a dog " * 60, "--concept", "dog"), "would be cut off"),
        (("a dog",), "concept"),
    ],
)
def test_a_tour_that_cannot_be_made_is_one_sentence(
    tokens: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = told(capsys, *tokens, "--out", str(tmp_path / "new"))
    assert code == 2
    assert said in err
    assert not (tmp_path / "new").exists()


def test_a_tour_does_not_take_a_file_for_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "inside"):
        code, said, err = told(capsys, *TOUR, "--out", str(out))
        assert (code, said) == (2, "")
        assert "is a file: choose another folder" in err


def test_expected_times_are_one_document_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capsys, *TOUR, "--by", "none", "--dry-run", "--json")
    assert code == 0
    stops = json.loads(out)["stops"]
    assert [stop["name"] for stop in stops] == ["dynamics", "maps", "intervene", "heads"]
    assert stops[2]["expected"] > stops[0]["expected"]
    assert stops[3]["expected"] > 0, "it runs no denoiser, and takes its time"


@pytest.mark.parametrize(
    ("first", "goes_on"), [("intervene", True), ("coar", True), ("maps", False), ("segment", False), ("a church", True)]
)
def test_ctrl_c_is_answered_by_what_the_same_command_would_do(
    first: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("turpentine.cli.app.build", interrupt)
    code, _, err = told(capsys, first, "--concept", "church")
    assert code == 130
    assert ("goes on from here" in err) is goes_on and ("starts again" in err) is not goes_on


def test_a_source_is_replicated_by_its_name_and_its_cost_is_known_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.explain.tour.save_plot", lambda _, path: Image.new("RGB", (9, 9)).save(path))
    code, out, _ = told(
        capsys,
        *("tracing", "--only", "trace-denoiser-object", "--only", "trace-text-object"),
        *("--dry-run", "--json", "--rows", "16", "--out", str(tmp_path / "a")),
    )
    expected = json.loads(out)
    assert code == 0 and not (tmp_path / "a").exists()
    assert expected["sd14"]["rows"] == 1.25 * expected["rows"] > 0
    assert [stop["name"] for stop in expected["stops"]] == ["trace-denoiser-object", "trace-text-object"]
    assert expected["rows"] == sum(stop["rows"] for stop in expected["stops"])
    words = ["words", "--only", "maps", "--seeds", "0", "--steps", "1", "--rows", "16", "--out", str(tmp_path / "b")]
    code, out, _ = told(capsys, *words)
    assert code == 0 and "On Stable Diffusion 1.4" in out and "on one NVIDIA H100 in fp16" in out
    assert "Where each word is looked at" in (tmp_path / "b" / "report.html").read_text()
    assert (tmp_path / "b" / "maps" / "table.parquet").exists()
    assert "done before" in told(capsys, *words)[1]


def test_a_source_is_not_replicated_on_a_model_that_is_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capsys, "words", "--model", "nowhere/such-model")
    assert code == 2 and "Traceback" not in err
