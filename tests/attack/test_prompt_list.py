"""A list of prompts: drawn as the file says, counted, and drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack.searches import SetJudge

from turpentine.attack.budget import Budget
from turpentine.attack.prompt_list import PromptList
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.models import Artefact, Model

TRIAL = Trial(steps=1, pictures=2, curve_pictures=1)
ROWS = "adv_prompt,evaluation_seed,evaluation_guidance\na red church,3,1\na dog,4,1\nchurch house,,\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(ROWS)
    return path


def test_rows_are_drawn_with_their_own_seed_and_guidance_and_those_that_hit_again(sd1: Model, file: Path) -> None:
    SetJudge.seen = {each.tobytes() for each in sd1.generate("a red church", seeds=[3], steps=1, guidance_scale=1.0)}
    SetJudge.seen |= {each.tobytes() for each in sd1.generate("church house", seeds=[2], steps=1)}
    outcome = PromptList(file)(sd1, "church", judge=SetJudge(), trial=TRIAL)
    assert isinstance(outcome.artefact, Artefact) and outcome.artefact.prompts == ("a red church", "church house")
    assert outcome.tries == (True, False, True)
    assert outcome.measurements == {"prompts": 3, "of them with the concept": 2}


def test_where_none_hits_all_are_drawn_again(sd1: Model, file: Path) -> None:
    SetJudge.seen = set()
    outcome = PromptList(file, rows=2)(sd1, "church", judge=SetJudge(), trial=TRIAL)
    assert isinstance(outcome.artefact, Artefact) and outcome.artefact.prompts == ("a red church", "a dog")


def test_a_budget_that_ends_within_a_stage_is_used_up(sd1: Model, file: Path) -> None:
    SetJudge.seen = set()
    outcome = PromptList(file, stages=1)(sd1, "church", judge=SetJudge(), trial=TRIAL, budget=Budget(judged=2))
    assert outcome.measurements["prompts"] == 2 == outcome.spent.judged


def test_no_file_and_an_empty_one_are_refused(sd1: Model, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("prompt\n")
    with pytest.raises(BadArgument, match="needs a file of prompts"):
        PromptList()(sd1, "church", judge=SetJudge(), trial=TRIAL)
    with pytest.raises(BadArgument, match="holds no prompt"):
        PromptList(tmp_path / "empty.csv")(sd1, "church", judge=SetJudge(), trial=TRIAL)
    with pytest.raises(BadArgument, match="no file or folder"):
        PromptList(tmp_path / "none.csv")(sd1, "church", judge=SetJudge(), trial=TRIAL)
