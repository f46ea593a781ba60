from __future__ import annotations

import importlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from judges.toys import saved_clip
from processes import CONTEXT, Started

import turpentine as tp
from turpentine.edits import load_change
from turpentine.erase.best import best_for
from turpentine.runs.backends import local

pytestmark = pytest.mark.usefixtures("few_steps")
Command = Callable[..., tuple[int, str, str]]
# Two updates on the tiny model, which no judge reads.
COMMON = ("--method", "esd-x", "--seeds", "0", "--batch-size", "1", "--trajectories", "1", "--sampling-steps", "3")
QUICK = (*COMMON, "--steps", "2")
LONGER = (*COMMON, "--steps", "40", "--no-measure")


def test_a_run_leaves_an_edit_results_and_a_report_and_says_how_to_use_them(
    command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tokens = ["erase", "church", "--model", tiny_folder, "--out", str(out), *QUICK]
    code, printed, err = command(*tokens)
    assert code == 0, err
    for name in ("edit.safetensors", "run.json", "results.parquet", "report.html"):
        assert (out / name).is_file()
        assert str(out / name) in printed
    assert f"tp.Edit.load('{out / 'edit.safetensors'}').apply(model)" in printed
    assert "turpentine erase church" in (out / "report.html").read_text(encoding="utf-8")
    edit = tp.Edit.load(out / "edit.safetensors")
    assert edit.provenance.settings["steps"] == 2
    assert edit.provenance.settings["sites"] == "x"
    code, printed, _ = command(*tokens, "--json")
    assert code == 0
    assert json.loads(printed)["edit"] == edit.id


@pytest.mark.parametrize(
    ("method", "flags", "file", "settings"),
    [
        ("uce", ("--sites", "MID,UP1", "--preserve", "dog"), "edit.safetensors", {"sites": "MID,UP1"}),
        ("uce-paper", (), "edit.safetensors", {"variant": "paper"}),
        ("cad", ("--sites", "MID", "--sampling-steps", "2", "--share", "0.1"), "edit.safetensors", {"sites": "MID"}),
        ("sld-medium", ("--momentum", "0.5"), "guidance.json", {"warmup": 0.2, "momentum": 0.5}),
    ],
)
def test_methods_of_every_kind_run_to_their_report(
    method: str,
    flags: tuple[str, ...],
    file: str,
    settings: dict[str, object],
    command: Command,
    tiny_folder: str,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    tokens = ["erase", "church", "--model", tiny_folder, "--out", str(out), "--seeds", "0"]
    code, printed, err = command(*tokens, "--method", method, *flags)
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == sorted(
        [file, "run.json", "results.parquet", "report.html"]
    )
    change = load_change(out / file)
    assert {name: change.provenance.settings[name] for name in settings} == settings
    assert f"'{out / file}'" in printed
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"turpentine erase church --model {tiny_folder}" in page
    assert change.id in page
    assert f"Erased with {change.provenance.title} from" in page
    assert ("UCE (paper)" in page) == (method == "uce-paper")
    assert change.provenance.title in command("info", str(out / file)).out
    model = tp.load(tiny_folder)
    with change.on(model):
        drawn = model.generate("a church", steps=2)[0]
    assert drawn.tobytes() != model.generate("a church", steps=2)[0].tobytes()


def test_clip_tells_a_concept_of_any_model_from_its_neighbours(
    command: Command, tiny_folder: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, clip = tmp_path / "out", saved_clip(tmp_path_factory.mktemp("clip"))
    by = f"clip: {{model: {clip}, threshold: 0.1}}"
    tokens = ["erase", "Van Gogh", "--model", tiny_folder, "--method", "uce", "--seeds", "0-1", "--out", str(out)]
    features = ("--by", f"features: {{network: clip, model: {clip}}}", "--measure", "fid of features")
    code, printed, err = command(*tokens, "--by", by, *features, "--keep", "dog", "--json")
    assert code == 0, err
    told = json.loads(printed)
    assert told["summary"]["erased"]["before"]["n"] == 2
    assert 0 <= told["summary"]["others"]["after"]["rate"] <= 1
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    (judge,) = [one for one in run["identity"]["protocol"]["judges"] if one["name"] == "zero-shot"]
    assert judge["settings"]["threshold"] == 0.1
    assert list(judge["settings"]["labels"])[:2] == ["Van Gogh", "dog"]
    assert list(judge["settings"]["labels"])[-1] == "a painting"
    assert {row["measure"] for row in told["rows"]} == {"rate of hit", "mean of moved", "fid of features"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Other measures" in page and "fid of features" in page and "Threshold of zero-shot" in page
    shown = command(*tokens, "--by", by, *features, "--keep", "dog").out
    assert "others of its kind" in shown and "fid of features" in shown
    assert "pairs" not in told["summary"] and "two objects together" not in shown
    for text in (told["left_out"], page, " ".join(shown.split())):
        assert "Two objects together are not asked for: no judge here can name both in one picture." in text


def test_without_a_judge_one_line_says_so_and_what_would_be_fetched(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.bench.erasure_judges.CLIP", "nobody/has-this-clip")
    tokens = ["erase", "church", "--model", tiny_folder, "--method", "uce", "--seeds", "0", "--out", str(tmp_path)]
    code, _, err = command(*tokens)
    assert code == 0
    (line,) = [line for line in err.splitlines() if "--by clip" in line]
    assert "no rates" in line and "nobody/has-this-clip" in line
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No judge here knows" in page and "data:image/png" in page and "are not asked for" not in page


def test_several_workers_give_the_same_rows(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    tokens = ["erase", "church", "--model", tiny_folder, "--method", "uce", "--seeds", "0-1", "--by", "none"]
    for workers in ("1", "2"):
        out = str(tmp_path / workers)
        code, _, err = command(*tokens, "--threads", "1", "--workers", workers, "--out", out)
        assert code == 0, err
    one, two = ((tmp_path / workers / "results.parquet").read_bytes() for workers in ("1", "2"))
    assert one == two


def test_a_picture_that_cannot_be_judged_is_a_row_and_retry_tries_it_again(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = ["erase", "church", "--model", tiny_folder, "--method", "uce", "--seeds", "0", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("turpentine.judges.pixel_change._distance", lambda a, b: float("nan"))
        code, _, err = command(*tokens, "--by", "none")
    assert code == 1
    assert "could not be drawn or judged" in err and "--retry" in err
    assert "Not drawn or not judged" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert command(*tokens, "--by", "none").code == 1
    code, _, err = command(*tokens, "--by", "none", "--retry")
    assert code == 0, err


def test_the_best_method_is_taken_and_named_and_runs_side_by_side_share_what_is_before(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tokens = ["erase", "church", "--model", tiny_folder, "--seeds", "0", "--by", "none"]
    best = best_for(tiny_folder, [tp.Concept("church")])
    code, printed, err = command(*tokens, "--no-measure", "--json")
    assert code == 0, err
    told = json.loads(printed)
    assert told["why"].startswith(f"The method is {best.name}: {best.reason}.")
    edit = tmp_path / told["files"]["edit"]
    assert edit == tmp_path / "runs" / f"church-{best.name}" / "edit.safetensors"
    assert not (edit.parent / "report.html").exists() and not list(edit.parent.glob(".store/images/**/*.png"))
    made = edit.read_bytes()
    code, printed, err = command(*tokens)  # goes on from the edit
    assert code == 0, err
    assert printed.startswith(told["why"])
    assert edit.read_bytes() == made and (edit.parent / "report.html").exists()
    with count_drawn(monkeypatch) as drawn:
        assert command(*tokens, "--method", "diff-quickfix").code == 0
    assert drawn and all(drawn)  # with an edit on, every one
    elsewhere = tmp_path / "elsewhere" / "run"
    assert command(*tokens, "--out", str(elsewhere)).code == 0
    assert [path.name for path in elsewhere.parent.iterdir()] == ["run"]


@contextmanager
def count_drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Give a list with an entry for each call of `Model.generate`: whether an edit was on the model."""
    drawn: list[bool] = []
    generate = tp.Model.generate

    def counted(self: tp.Model, *args: Any, **settings: Any) -> Any:
        drawn.append(bool(self.edits))
        return generate(self, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(tp.Model, "generate", counted)
        yield drawn


def test_settings_of_a_method_that_the_line_does_not_name_are_refused(command: Command, tiny_folder: str) -> None:
    code, _, err = command("erase", "church", "--model", tiny_folder, "--lr", "0.1")
    assert code == 2 and "--lr" in err


def test_settings_are_flags(command: Command) -> None:
    code, out, _ = command("erase", "--help", "--method", "esd-x")
    assert code == 0
    for flag in ("--eta", "--lr", "--fresh", "--window", "--erase-from"):
        assert flag in out
    assert "[default: u]" in command("erase", "--help", "--method=esd-u")[1]


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        ([], "no concept"),
        (["  "], "empty"),
        (["church", "--method", "nonsense"], "nonsense"),
        (["church", "--method", "esd-x", "--sites", "nose"], "nose"),
        (["church", "--method", "esd-x", "--window", "0", "2"], "window"),
        (["church", "--kind", "smell"], "smell"),
        (["church", "--method", "esd-x", "--eta", "much"], "--eta"),
        (["church", "--seeds", "x"], "'x'"),
        (["church", "--method", "esd-x", "--lr", "nan"], "lr"),
        (["church", "--by", "nobody"], "nobody"),
        (["church", "--by", "clip: {threshold: 2}"], "threshold"),
        (["church", "--measure", "mean of smell"], "smell"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    tokens: list[str], named: str, command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed, err = command("erase", *tokens, "--model", tiny_folder, "--out", str(out))
    assert (code, printed) == (2, "")
    assert named in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_training_that_does_not_fit_leaves_nothing_but_a_sentence_with_the_flags(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.models.training_memory.free_memory", lambda device: 10_000)
    out, tokens = tmp_path / "out", ["--method", "esd", "--model", tiny_folder, "--batch-size", "2"]
    code, printed, err = command("erase", "church", *tokens, "--out", str(out))
    assert (code, printed) == (2, "") and "10.0 kB of memory are free on cpu: give --dtype fp16, which takes" in err
    assert not out.exists()


def test_no_setting_needs_to_be_given_also_where_pydantic_is_imported(command: Command) -> None:
    importlib.import_module("pydantic")
    assert "no concept" in command("erase").err


def test_another_run_in_the_folder_is_replaced_only_by_force(
    command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    other = tmp_path / "run.json"
    other.write_text('{"format": 1, "identity": {}}')
    tokens = ["erase", "church", "--model", tiny_folder, "--out", str(tmp_path), *QUICK]
    code, _, err = command(*tokens)
    assert code == 2
    assert "--force" in err
    assert other.read_text() == '{"format": 1, "identity": {}}'
    assert command(*tokens, "--force")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_a_state_from_which_the_same_command_comes_to_the_same_edit(
    number: signal.Signals,
    begin: Callable[..., Started],
    command: Command,
    tiny_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()  # the process knows of no few steps
    tokens = ["erase", "church", "--model", tiny_folder, *LONGER]
    started = begin(*tokens)
    state = tmp_path / "runs" / "church-esd-x" / ".store" / "edits"
    while started.poll() is None and not list(state.glob("*.checkpoint/**/*.safetensors")):
        time.sleep(0.02)
    started.send_signal(number)
    _, err = started.communicate()
    assert started.poll() == 128 + number, err
    assert err.splitlines()[-1].startswith("Interrupted. The same command goes on from here: turpentine erase church")
    assert "Traceback" not in err

    out = tmp_path / "runs" / "church-esd-x"
    assert command(*tokens, "--out", str(out))[0] == 0
    esd = tp.methods.ESD.preset(tiny_folder, batch_size=1, trajectories=1, sampling_steps=3, steps=40)
    whole = esd(tp.load(tiny_folder), tp.Concept("church"))
    assert tp.Edit.load(out / "edit.safetensors").id == whole.id


def test_bare_esd_follows_the_kind_and_says_so(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.models.scale.FULL_WIDTH", 1)  # so that the toy passes for a model of full size
    quick = ("--steps", "1", "--trajectories", "1", "--sampling-steps", "2", "--no-measure", "--json")
    named = ("erase", "church", "--method", "esd", "--model", tiny_folder, "--out")
    for kind, sites in (("object", "u"), ("person", "x")):
        code, printed, err = command(*named, str(tmp_path / kind), "--kind", kind, *quick)
        assert code == 0, err
        assert json.loads(printed)["why"].startswith(f"ESD trains the set {sites}, ")
    code, printed, _ = command(*named, str(tmp_path / "own"), "--sites", "selfattn", *quick)
    assert code == 0 and json.loads(printed)["why"] == ""
    late = ["erase", "--method", "esd", "Van Gogh", "--model", tiny_folder, "--force", "--out", str(tmp_path / "late")]
    code, _, err = command(*late, *quick)
    assert code == 2 and "Name the concept before the flags, or give its --kind" in err
    assert not (tmp_path / "late").exists()
