"""An edit that takes pairs apart and leaves each object alone as it was: the run, its page and its JSON say so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from report.page import Page

import turpentine as tp
from turpentine.bench import Erasure, ErasureResult, Protocol, load_erasure, run_erasure
from turpentine.bench.erasure_judges import cases_for
from turpentine.bench.lines import lines
from turpentine.cli.edit_summary import as_json, show_outcome
from turpentine.concepts import Concept, with_article
from turpentine.edits import Edit, Provenance
from turpentine.emoji.captions import pair_caption
from turpentine.emoji.prompts import caption_pairs, others, spread
from turpentine.emoji.world import OBJECTS
from turpentine.erase._closed_form.linear import solve
from turpentine.erase._closed_form.subject_prompts import SubjectPrompt
from turpentine.erase._closed_form.text_states import reader_weights
from turpentine.erase._closed_form.uce_objective import FORMS, UCEObjective, shifted
from turpentine.judges import EmojiJudge
from turpentine.report import render_erasure
from turpentine.report.failures import failures

CHURCH = Concept("church")
FEW = (
    "a dog and a parachute",
    "a castle and a truck",
    "a saw and a golf flag",
    "a dog",
    "a truck",
    "a saw",
    "a church",
)


@dataclass(frozen=True)
class WithCompany:
    """The aligned UCE as it was: of "a church and a dog" "a dog" is to stay, and no two objects are preserved."""

    eta: float = 0.25

    def __call__(self, model: tp.Model, concept: Sequence[Concept], **_: Any) -> Edit:
        company = [
            (pair_caption("church", other), with_article(other))
            if n % 2
            else (pair_caption(other, "church"), with_article(other))
            for n, other in enumerate(spread(OBJECTS, 8))
            if other != "church"
        ]
        pairs = [
            (SubjectPrompt(text), SubjectPrompt(rest)) for text, rest in [*caption_pairs("object", "church"), *company]
        ]
        alone = [text for text in others([("object", "church")]) if " and " not in text]
        world = [SubjectPrompt(text) for text in ("", *alone)]
        objective = UCEObjective(FORMS["aligned"], tuple(pairs), tuple(world))
        keys, targets = objective.keys_and_targets(model)
        targets = targets + self.eta * (targets - keys)
        shift = solve(keys, targets, objective.preserved_gram(model), scales=objective.scales(0.1, 1.0, None))
        (names,) = reader_weights(model, "*").values()
        provenance = Provenance("WithCompany", {}, tuple(concept), base=model.fingerprint, model="emoji")
        return Edit(shifted(model, names, shift), provenance)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    """Its run: three pairs, and an object of each alone, with a seed that the unedited model draws all of."""
    model = tp.load()
    cases = [
        case
        for case in cases_for(model, [CHURCH], [EmojiJudge()], with_pairs=True)
        if case.prompt in FEW and case.attribute == "object"
    ]
    assert {case.prompt for case in cases if case.group == "pair"} == set(FEW[:3])
    erasure = Erasure(CHURCH, WithCompany(), Protocol(seeds=(1,), steps=6), EmojiJudge(), cases)
    return run_erasure(model, erasure, tmp_path_factory.mktemp("apart") / "run")


def test_the_row_of_pairs_sees_what_others_alone_do_not_show(apart: ErasureResult) -> None:
    others_alone, pairs = apart.effects.summary["others"], apart.effects.summary["pairs"]
    assert others_alone.before == others_alone.after and others_alone.before.hits == 3
    assert (pairs.before.hits, pairs.after.hits, pairs.before.n) == (3, 0, 3)
    assert pairs.difference.high < 0
    (damage,) = [kind for kind in failures(lines(apart.table), apart.rows) if kind.name == "Damage"]
    assert damage.worst[0].sentence.replace("\u202f", "").startswith("Two objects together: 0%")


def test_the_json_the_terminal_and_the_page_have_the_row(
    apart: ErasureResult, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(json.dumps(as_json(apart)))
    row = content["summary"]["pairs"]
    assert (row["before"]["rate"], row["after"]["rate"], row["before"]["n"]) == (1.0, 0.0, 3)
    assert row["difference"]["high"] < 0
    assert {each["label"] for each in content["labels"] if each["group"] == "pair"} == {
        *("dog and parachute", "castle and truck", "saw and golf flag")
    }
    assert content["left_out"] == ""
    show_outcome(apart, "emoji", details=False)
    printed = capsys.readouterr().out.split("In brackets")[0]
    (line,) = [line for line in printed.splitlines() if line.startswith("two objects together")]
    assert line.split()[3:7] == ["100", "(44–100)", "0", "(0–56)"]
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= 80
    page = " ".join(Page(render_erasure(apart)).text.split())
    assert "Two objects together" in page and "dog and parachute 1 100 %" in page
    assert "Two objects together are not asked for" not in page


def test_a_picture_of_two_says_both_names(apart: ErasureResult) -> None:
    titles = [value for name, value in Page(render_erasure(apart)).attributes if name == "title" and value]
    assert {"before, seed 1: dog and parachute", "before, seed 1: parachute and dog"} & set(titles)
    assert "before, seed 1: dog" in titles


def test_a_run_that_is_read_back_has_the_same_row(apart: ErasureResult) -> None:
    assert load_erasure(Path(apart.folder)).effects.to_json() == apart.effects.to_json()
