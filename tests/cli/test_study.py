"""`turpentine study`: from the plan to the page, and what is refused in one sentence."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from study.raters import simulated
from study.studies import small_study

from turpentine.study.store import StudyStore

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plan(tmp_path: Path) -> str:
    small_study(tmp_path)
    return str(tmp_path / "study.yaml")


def answered(folder: Path, plan: str) -> str:
    """A database in which simulated raters answered everything."""
    study = small_study(folder)
    path = str(folder / "answers.sqlite")
    store = StudyStore(path, study, create=True)
    _, answers = simulated(study)
    for _ in range(study.raters):
        token, rater = store.join()
        for each in answers:
            if each.rater == f"{rater.slot:04x}":
                store.put(token, each.trial, each.value, each.milliseconds)
    store.close()
    return path


def test_check_says_what_it_takes_and_shows(plan: str, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("study", "check", plan)
    assert code == 0
    assert "8 pictures: 4 of erased, 4 of real." in out
    assert "4 raters with up to 9 answers each, about 1 minute;" in out
    assert "likeness: 8 answers to 4 pictures of a condition show a difference of" in out
    code, out, _ = command("study", "check", plan, "--json", "--set", "ratings=8")
    assert json.loads(out)["raters"] == 16
    choice = ("--set", "questions.0.kind=choice", "--set", "questions.0.text=Which is by {subject}?")
    code, out, _ = command("study", "check", plan, *choice)
    assert code == 0 and "show of erased and real, or any other two, that" in " ".join(out.split())
    picture = tmp_path / "pictures" / "erased" / "ada" / "0.png"
    picture.write_text("no picture")
    for verb in ("check", "serve"):
        code, out, err = command("study", verb, plan)
        assert (code, out) == (2, "") and "0.png is no picture that can be read" in err
    code, out, _ = command("study", "check", "--list")
    assert code == 0 and "artist-likeness-real" in out


def test_export_and_report_write_what_was_answered(plan: str, tmp_path: Path, command: Command) -> None:
    path = answered(tmp_path, plan)
    out_folder = tmp_path / "out"
    code, out, _ = command("study", "export", plan, "--db", path, "--out", str(out_folder), "--format", "csv", "--json")
    assert code == 0 and json.loads(out)["answers"] == 36
    assert (out_folder / "answers.csv").read_text().count("\n") == 37
    code, out, err = command("study", "report", plan, "--db", path, "--out", str(out_folder))
    assert code == 0, err
    assert "36 answers" in out and "study.html" in out
    assert json.loads((out_folder / "study.json").read_text())["answers"] == 36
    blind = tmp_path / "blind"
    code, out, _ = command("study", "report", plan, "--db", path, "--out", str(blind), "--blind")
    assert code == 0 and [each.name for each in blind.iterdir()] == ["study.html"]
    code, _, _ = command("study", "export", plan, "--db", path, "--out", str(blind), "--blind", "--format", "csv")
    assert code == 0 and '"erased"' not in (blind / "answers.csv").read_text().split("\n", 1)[1]


def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    plan: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for tokens, sentence in (
            (("check",), "There is no plan: write turpentine study check artist-likeness."),
            (("check", "nothing"), "No study is called 'nothing', and no file"),
            (("check", plan, "--set", "ratings=0"), "--set ratings: ratings is 0: "),
            (("serve", plan, "--host", "0.0.0.0"), "give the --name by which raters reach this one"),
            (("serve", plan, "--port", port), f"Nobody can listen on 127.0.0.1, port {port}: choose another --port."),
            (("report", plan), "There are no answers in studies/study.sqlite: turpentine study serve makes the file."),
            (("export", plan, "--out", plan), "is a file: choose another folder with --out."),
            (("export", plan, "--db", "mysql://a/b", "--out", "x"), "and not mysql://"),
            (
                ("report", plan, "--db", "postgresql://me:secret@127.0.0.1:1/x"),
                "The database postgresql://me:***@127.0.0.1:1/x does not answer: see that it is there",
            ),
            (("serv", plan), "turpentine study has no command 'serv': did you mean 'serve'?"),
        ):
            code, out, err = command("study", *tokens)
            assert (code, out) == (2, ""), tokens
            assert sentence in err and err.count("\n") == 1, err
    assert not (tmp_path / "studies").exists()


def test_without_the_extra_it_says_how_to_get_it(plan: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("turpentine.cli.study.find_spec", lambda name: None if name == "uvicorn" else name)
    code, _, err = command("study", "serve", plan)
    assert code == 2 and "pip install 'turpentine[study]'" in err
    assert command("study", "check", plan)[0] == 0, "a plan is checked without it"


def test_serve_prints_one_document_with_the_link_where_a_program_reads_it(
    plan: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.cli.study._run_server", lambda store, *_: store.close())
    code, out, err = command("study", "serve", plan, "--db", str(tmp_path / "a.sqlite"), "--json")
    assert (code, err) == (0, "") and json.loads(out)["link"].startswith("http://127.0.0.1:8000/s/")
