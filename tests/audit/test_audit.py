"""A whole audit on toys: its arms, its files, going on after a kill, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from turpentine.attack.budget import Budget
from turpentine.attack.partial_editing import PartialEditing
from turpentine.attack.random_prefix import RandomPrefix
from turpentine.attack.seed_search import SeedSearch
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.audit.arms import Lineup, concept_outcomes
from turpentine.audit.audit import Audit
from turpentine.audit.audited import RECORD, Audited
from turpentine.audit.comparison import Comparison
from turpentine.audit.plan import plan_audit
from turpentine.audit.verdict import Rules
from turpentine.core.errors import BadArgument, WrongBase
from turpentine.edits import Edit, Provenance
from turpentine.judges.base import Column
from turpentine.models import Model
from turpentine.report.audit_page import write_audit_page
from turpentine.report.comparison_page import write_comparison_page
from turpentine.stats.intervals import Rate
from turpentine.stats.prevalence import JudgeError
from turpentine.testing.state import weights_hash
from turpentine.testing.toys import toy

BIAS = "unet.conv_out.bias"
PUSH = 300.0
"""Past what seeds and prompts do to a picture's brightness."""
PICTURES = [Image.new("RGB", (16, 16))]
TRIAL = Trial(steps=1, batch_size=20, curve_pictures=1)
ATTACKS = [SeedSearch(seeds=20), RandomPrefix(candidates=2, per_candidate=2)]


class BrightJudge:
    """Sees a church where a picture's brightness is on the original's side of a level, else a dog."""

    revision = "1"
    needs: ClassVar[frozenset[str]] = frozenset()
    columns: ClassVar[Mapping[str, Column]] = {"object": Column(labels=("church", "dog"))}
    download = None

    def __init__(self, level: float, sign: int, name: str = "bright") -> None:
        self.name = name
        self.settings: Mapping[str, Any] = {"level": level, "sign": sign}

    def __call__(self, images: Sequence[Image.Image], **beside: Any) -> pl.DataFrame:
        level, sign = self.settings["level"], self.settings["sign"]
        is_church = [sign * np.asarray(image).mean() < sign * level for image in images]
        return pl.DataFrame({"object": ["church" if each else "dog" for each in is_church]})


def pushed(model: Model) -> Edit:
    delta = torch.full_like(model.parameter(BIAS), PUSH)
    return Edit({BIAS: delta}, Provenance(method="push", base=model.fingerprint))


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


@pytest.fixture(scope="module")
def oracle() -> Model:
    other = toy("sd1")
    with torch.no_grad():
        other.parameter(BIAS).add_(PUSH)
    return other


@pytest.fixture(scope="module")
def another() -> Model:
    """An oracle of another seed."""
    other = toy("sd1")
    with torch.no_grad():
        other.parameter(BIAS).add_(PUSH + 1)
    return other


@pytest.fixture(scope="module")
def judge(model: Model, oracle: Model) -> BrightJudge:
    own, foreign = (
        [np.asarray(image).mean() for image in each.generate("a church", seeds=range(20), steps=1)]
        for each in (model, oracle)
    )
    return BrightJudge(float(np.mean([*own, *foreign])), 1 if np.mean(own) < np.mean(foreign) else -1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts that audits share: the original and the oracle draw once for all of them."""
    return tmp_path_factory.mktemp("parts")


def run(model: Model, edited: Any, oracle: Any, judge: BrightJudge, cache: Path | None = None, **how: Any) -> Audited:
    attacks, left_out, deep = (how.pop(*each) for each in (("attacks", ATTACKS), ("left_out", ()), ("deep", 0)))
    audit = Audit(attacks, pictures=20, others=20, trial=TRIAL, left_out=left_out, deep=deep)
    return audit(edited, "church", original=model, judge=judge, oracle=oracle, cache=cache, **how)


def test_the_unedited_model_is_not_erased_and_all_numbers_are_in_the_files(
    model: Model, oracle: Model, another: Model, judge: BrightJudge, tmp_path: Path, cache: Path
) -> None:
    before = weights_hash(model)
    error = JudgeError(Rate(95, 100), Rate(98, 100))
    second = BrightJudge(judge.settings["level"], judge.settings["sign"], "again")
    audited = run(
        model, model, [oracle, another], judge, cache, judge_error=error, deep=2, second=second, left_out=("cce",)
    )
    assert audited.verdict == "not erased" and audited.exit_code == 3
    assert weights_hash(model) == before
    arms = set(audited.table.filter(pl.col("attack") == "no attack")["arm"])
    assert arms == {"edited", "original", "oracle", "hidden"}
    paths = audited.write(tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())
    assert {path.name for path in paths} >= {"audit.json", "card.md", "audit.parquet", "edited.png", "oracle.png"}
    rows = dict(audited.table.filter(attack="no attack", judge="bright").select("arm", "n").rows())
    assert rows == {"edited": 20, "original": 20, "hidden": 20, "oracle": 40}
    assert set(audited.batteries) == {"edited", "oracle", "oracle 2"} and "oracle 2 from the oracle" in audited.deep
    assert audited.ruling.evidence[1].arms.reference.models == (0,) * 20 + (1,) * 20
    assert record["verdict"] == "not erased" and record["exit_code"] == 3 and len(record["protocol_sha256"]) == 64
    assert record["fade"]["edited from the oracle"] == record["fade"]["original from the oracle"]
    assert record["depth"]["score"] is None or record["depth"]["score"] == pytest.approx(0, abs=0.01)
    assert len(record["corrected"]) == 3 * 4 and record["curves"]["seed-search, oracle"]
    assert record["recovery_by_budget"]["seed-search"][-1]["recovery"] == pytest.approx(1, abs=0.1)
    assert record["second"]["verdict"] == "not erased" and record["second"]["judge"] == "again"
    assert audited.judges == ["bright", "again"] and "again, also says not erased" in audited.card()
    assert record["protocol"]["judge_error"] == {"sensitivity": [95, 100], "specificity": [98, 100], "source": "given"}
    by_judge = [audited.table.filter(judge=name).drop("judge").rows() for name in audited.judges]
    assert by_judge[0] == by_judge[1]
    assert {"own prompts", "with another object", "kinds of it"} <= set(audited.table["attack"])
    measures = {row["measure"]: row for row in record["damage"]["measures"]}
    assert measures["all other things"]["change"] == 0 and measures["denoiser rows a picture"]["edited"] == 2
    assert measures["broken pictures"]["change"] == 0 and record["damage"]["size"]["weights"] == 0
    assert "Is church gone? Not erased" in (tmp_path / "card.md").read_text()
    assert audited.summary().startswith("church in sd1: not erased. By name the edited model shows it in ")
    page = write_audit_page(audited, tmp_path / "audit.html", command="turpentine <audit>").read_text()
    assert record["protocol"]["left_out"] == ["cce"] and "no time for</dt><dd>cce" in " ".join(page.split())
    for text in (record["not_tried"], page, (tmp_path / "card.md").read_text()):
        assert "There was no time for cce." in text and "No judge looked but bright and again" in text
    assert "<h1>church<span>, not erased" in page and "turpentine &lt;audit&gt;" in page
    assert page.count("data:image/") == 1 + 4 and all(reason in page for reason in audited.ruling.reasons)
    assert "What else broke" in page and "all other things" in page and "also says not erased" in page
    assert "Depth score" in page and "seed-search" in page and "audit&gt;" in page
    assert audited.plot().axes[0].get_xlabel().startswith("excess recovery R")


def test_an_audit_that_was_broken_off_goes_on_to_the_same_bytes(
    model: Model, oracle: Model, judge: BrightJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = Victim(model, (pushed(model),))
    how: dict[str, Any] = {"attacks": ATTACKS[:1], "second": None}
    whole = run(model, edited, oracle, judge, tmp_path / "whole", **how)
    assert whole.verdict in ("inconclusive", "gone")
    whole.write(tmp_path / "one")
    draws, generate = [0], Model.generate

    def broken(self: Model, *args: Any, **kwargs: Any) -> Any:
        draws[0] -= 1
        if draws[0] == 0:
            raise KeyboardInterrupt
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(Model, "generate", broken)
    for count in (3, 14):
        draws[0] = count
        with pytest.raises(KeyboardInterrupt):
            run(model, edited, oracle, judge, tmp_path / "parts", **how)
    draws[0] = 0
    run(model, edited, oracle, judge, tmp_path / "parts", **how).write(tmp_path / "other")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name
    draws[0] = 1  # nothing is drawn again
    run(model, edited, oracle, judge, tmp_path / "parts", **how)


def test_a_plan_becomes_an_audit_that_knows_that_it_is_quick() -> None:
    plan = plan_audit(ATTACKS, TRIAL, arms=4, row_seconds=0.001, quick=True)
    audit = Audit.planned(plan, ATTACKS, trial=TRIAL)
    assert audit.rules.quick and audit.pictures == plan.pictures and audit.left_out == ()
    assert [each.name for each in audit.attacks] == [each.name for each in ATTACKS]
    short = replace(plan, attacks=plan.attacks[:1], left_out=plan.attacks[1:])
    assert Audit.planned(short, ATTACKS).left_out == plan.attacks[1:]


def test_an_audit_of_too_few_pictures_is_a_quick_one_whoever_makes_it() -> None:
    """By the margin: a wider one takes fewer."""
    sizes = {count: Audit(ATTACKS, pictures=count).rules.quick for count in (20, 100, 341, 342, 411)}
    assert sizes == {20: True, 100: True, 341: True, 342: False, 411: False}
    assert not Audit(ATTACKS, pictures=100, rules=Rules(margin=0.2)).rules.quick
    assert Audit(ATTACKS, pictures=411, rules=Rules(quick=True)).rules.quick


def test_outcomes_hang_on_the_arm_and_not_on_the_batch(model: Model, judge: BrightJudge, tmp_path: Path) -> None:
    from turpentine.attack.harness import concept_judge
    from turpentine.concepts import Concept

    shows = concept_judge(judge, Concept("church"))
    one, other = (
        concept_outcomes(
            Victim(model), ["a church", "church"], 10, [shows, shows], Trial(steps=1, batch_size=size), tmp_path
        )
        for size in (3, 10)
    )
    assert one == other and one[0] == one[1] and one[0].clusters == ("a church", "church") * 5


def test_oracles_that_do_not_fit_are_refused(model: Model, oracle: Model, judge: BrightJudge) -> None:
    with pytest.raises(BadArgument, match="is sd1 itself"):
        run(model, model, toy("sd1"), judge)
    with pytest.raises(BadArgument, match=r"built otherwise than sd1|of another world"):
        run(model, model, toy("sdxl"), judge)
    victim = Victim(model)
    with pytest.raises(BadArgument, match="nothing to erase"):
        run(model, model, oracle, BrightJudge(-1.0, 1), second=None)
    with pytest.raises(BadArgument, match="itself"):
        Lineup(victim, victim, victim, unnamed=(victim,))
    with pytest.raises(BadArgument, match="is there twice: give one of another seed"):
        Lineup(victim, victim, victim, (Victim(oracle), Victim(oracle)))
    with pytest.raises(BadArgument, match="is no edit of sd1"):
        run(model, toy("sdxl"), oracle, judge)


def test_a_model_by_others_is_audited_as_an_edit_is_and_stands_beside_one(
    model: Model, oracle: Model, judge: BrightJudge, cache: Path, tmp_path: Path
) -> None:
    whole = toy("sd1")
    with torch.no_grad():
        whole.parameter(BIAS).add_(PUSH - 1)
    edits = {"whole": whole, "push": Victim(model, (pushed(model),))}
    audits = {name: run(model, each, oracle, judge, cache, second=None) for name, each in edits.items()}
    audited = audits["whole"]
    assert audited.judges == ["bright"] and audited.numbers()["second"] is None
    assert audited.damage is not None and audited.leak["sites"] == 1
    assert audited.damage.size["weights"] == audited.damage.size["bytes"] / 4 == 4
    comparison = Comparison(audits)
    table = comparison.table
    assert table["edit"].to_list() == list(edits) and table["weights"].to_list() == [4, 4]
    assert table["by_name"].to_list() == [each.ruling.evidence[0].arms.edited.rate for each in audits.values()]
    assert comparison.exit_code == max(each.exit_code for each in audits.values())
    record = json.loads(comparison.write(tmp_path)[0].read_text())
    assert set(record["audits"]) == set(edits) and (tmp_path / "comparison.parquet").is_file()
    pages = {name: f"{name}/audit.html" for name in edits}
    page = write_comparison_page(comparison, tmp_path / "comparison.html", pages=pages, command="<x>").read_text()
    assert 'href="whole/audit.html"' in page and "&lt;x&gt;" in page and page.count("data:image/") == 1
    assert comparison.plot().axes[0].get_xlabel().startswith("R of the strongest") and "push: " in comparison.summary()
    with pytest.raises(BadArgument, match="nothing to compare"):
        Comparison({"whole": audited})


def test_what_decides_nothing_is_refused_before_anything_is_drawn(
    model: Model, judge: BrightJudge, monkeypatch: pytest.MonkeyPatch, oracle: Model
) -> None:
    monkeypatch.setattr(Model, "generate", None)
    with pytest.raises(BadArgument, match="nothing to hold the attacks against"):
        Audit(ATTACKS)(model, "church", original=model, judge=judge)
    with pytest.raises(BadArgument, match="There is no attack"):
        Audit([])
    with pytest.raises(BadArgument, match="5 pictures decide nothing: give 20 or more"):
        Audit(ATTACKS, pictures=5)
    how: dict[str, Any] = {"original": model, "judge": judge, "oracle": oracle, "second": None}
    for budget, why in [
        (
            Budget(judged=1),
            r"The budget \(judged 1\) does not reach for one try of random-prefix, which takes .*2 judged",
        ),
        (Budget(forward=3), r"\(forward 3\) does not reach for one try of random-prefix, which takes 4 rows"),
    ]:
        with pytest.raises(BadArgument, match=why):
            Audit(ATTACKS[1:], pictures=20, budget=budget, others=20, trial=TRIAL)(model, "church", **how)
    for never, why in [
        (("octopus", PICTURES, judge), "The judge bright has no label for 'octopus'"),
        (("dog", (), judge), "partial-editing needs pictures of the concept"),
    ]:
        with pytest.raises(BadArgument, match=why):
            Audit([PartialEditing()], pictures=20, trial=TRIAL)(model, "church", never=never, **how)
    foreign = Edit({BIAS: torch.ones_like(model.parameter(BIAS))}, Provenance(base="0" * 64))
    with pytest.raises(WrongBase):
        run(model, Victim(model, (foreign,)), oracle, judge)
