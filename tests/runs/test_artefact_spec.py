"""Artefacts in a plan: a key of their own, a round trip through its file, and the same pictures by any worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench.stubs import CASES, QUICK, StubJudge

from turpentine.core.errors import EditError
from turpentine.models import Artefact, Model
from turpentine.runs.artefact_spec import ArtefactSpec
from turpentine.runs.backends import run
from turpentine.runs.plan import Plan
from turpentine.runs.plan_file import read_plan, write_plan
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.runs.store import Store


def pictures(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.rglob("*.png")}


def test_an_artefact_has_a_key_and_is_drawn_alike_by_two_workers(sd1: Model, tmp_path: Path) -> None:
    file, judge = tmp_path / "latents.safetensors", StubJudge()
    Artefact(("a church",), latents=torch.ones(8, *sd1.latent_shape())).save(file)
    source, spec = ModelSpec.of(sd1), JudgeSpec.of(judge)
    plain = Condition(source, tuple(CASES), QUICK, (spec,))
    drawn = replace(plain, artefact=ArtefactSpec.of(str(file)))
    assert drawn.id != plain.id
    assert {each.digest for each in drawn.pictures}.isdisjoint(each.digest for each in plain.pictures)
    write_plan(tmp_path / "plan.json", Plan([drawn]), 1)
    plan, _ = read_plan(tmp_path / "plan.json")
    for name, work in (("one", Plan([drawn])), ("two", plan), ("plain", Plan([plain]))):
        run(work, Store(tmp_path / name), models={source: sd1}, judges={spec: judge})
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two") != pictures(tmp_path / "plain")
    assert pictures(tmp_path / "one")


def test_an_artefact_that_was_replaced_since_is_refused(sd1: Model, tmp_path: Path) -> None:
    file = tmp_path / "word.safetensors"
    Artefact(("a church",)).save(file)
    spec = ArtefactSpec.of(str(file))
    Artefact(("a dog",)).save(file)
    with pytest.raises(EditError, match="another artefact now"):
        spec.load()
