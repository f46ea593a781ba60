"""Stacks of edits in the work of a bench: made on top of each other, put on in their order, each once."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bench.crew import FEW, SMALL, Bench
from bench.stubs import CALLS, WEIGHT, Nudge
from runs.test_plan import SOURCE, condition, stacked

from turpentine.concepts import Concept
from turpentine.core.parts import DamagedPart
from turpentine.edits import Edit, Provenance
from turpentine.erase.guidance import NegativePrompt
from turpentine.models import Model
from turpentine.runs.model_cache import ModelCache
from turpentine.runs.plan import Plan
from turpentine.runs.plan_file import from_json, to_json
from turpentine.runs.results import compact
from turpentine.runs.specs import Condition, EditSpec, StackPart
from turpentine.runs.store import Store

CHURCH = Concept("church")


@dataclass(frozen=True)
class Doubled:
    """Doubles a bias as it is: what it gives depends on the edits that are on the model."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        bias = model.parameter(WEIGHT).detach().clone()
        return Edit({WEIGHT: bias}, Provenance("Doubled", {}, tuple(concept), base=model.fingerprint))


class Stacked(Bench):
    """The unedited model, an edit, and stacks of it and others."""

    def __init__(self, *stacks: tuple[Any, ...]) -> None:
        super().__init__(things=FEW[:1], protocol=SMALL)
        lines = [replace(self.unedited, edit_spec=self.edit(*stack), concepts=(CHURCH,)) for stack in stacks]
        self.plan = Plan([self.unedited, *lines])

    def edit(self, *methods: Any) -> EditSpec:
        return EditSpec.stacked(self.source, [StackPart(method, (CHURCH,), repr(method)) for method in methods])

    def drawn(self, folder: Path, line: Condition) -> list[bytes]:
        store = Store(folder)
        rows = compact(self.plan, store).frame.filter(condition=line.id)
        return [store.picture(name).tobytes() for name in rows["image"]]


def weight(model: Model) -> torch.Tensor:
    return model.parameter(WEIGHT).detach().clone()


def test_each_edit_is_made_and_drawn_on_top_of_those_before_it(tmp_path: Path) -> None:
    one = Stacked((Nudge(),), (Nudge(), Doubled()), (Doubled(), Nudge()), (Doubled(),))
    base, store = weight(one.model), Store(tmp_path)
    CALLS.clear()
    one.worker(store).run()
    assert len(CALLS) == 2  # alone, and on top of the other
    assert torch.equal(weight(one.model), base) and not one.model.edits
    wanted = [base, base + 4, 2 * (base + 4), 2 * base + 4, 2 * base]
    for line, bias in zip(one.plan.conditions, wanted, strict=True):
        with torch.no_grad():
            one.model.parameter(WEIGHT).copy_(bias)
        images = one.model.generate(["a church"] * 2, seeds=[0, 1], steps=1, guidance_scale=1.0, batch_size=2)
        assert one.drawn(tmp_path, line) == [image.tobytes() for image in images]
        with torch.no_grad():
            one.model.parameter(WEIGHT).copy_(base)
    assert len({tuple(one.drawn(tmp_path, line)) for line in one.plan.conditions}) == 5
    top = store.edits.load(one.edit(Nudge(), Doubled()))
    assert isinstance(top, Edit)
    assert torch.equal(top.deltas[WEIGHT], base + 4)


def test_a_guidance_stands_in_a_stack_too(tmp_path: Path) -> None:
    one, method = Stacked(), NegativePrompt()
    line = replace(one.unedited, edit_spec=one.edit(Nudge(), method), concepts=(CHURCH,))
    one.plan = Plan([line])
    one.worker(Store(tmp_path)).run()
    nudged, guided = Nudge()(one.model, (CHURCH,)), method(one.model, (CHURCH,))
    with nudged.on(one.model), guided.on(one.model):
        plain = one.model.generate(["a church"] * 2, seeds=[0, 1], steps=1, guidance_scale=1.0, batch_size=2)
    assert one.drawn(tmp_path, line)[:2] == [image.tobytes() for image in plain]
    assert one.model.guidance is None


def test_what_cannot_be_made_costs_the_lines_on_top_of_it_and_no_others(tmp_path: Path) -> None:
    one = Stacked((Nudge(-1.0), Doubled()), (Doubled(),), (Nudge(), Nudge(-1.0)))
    one.worker(Store(tmp_path)).run()
    errors = {line.id: set() for line in one.plan.conditions}
    for row in compact(one.plan, Store(tmp_path)).frame.iter_rows(named=True):
        errors[row["condition"]].add(row["error"])
    below, plain, own = (errors[line.id] for line in one.plan.conditions[1:])
    assert plain == errors[one.unedited.id] == {None}
    assert own == {"BadArgument: amount is below 0."}
    assert below == {"Nudge(amount=-1.0), below it, cannot be made: BadArgument: amount is below 0."}


@pytest.mark.parametrize("is_top_there", [True, False])
def test_a_damaged_edit_below_is_made_anew_before_the_one_on_top_of_it(tmp_path: Path, is_top_there: bool) -> None:
    one, store = Stacked((Nudge(), Doubled())), Store(tmp_path)
    one.worker(store).run()
    rows = compact(one.plan, store).frame
    line = one.plan.conditions[1]
    below, top = (store.edits.record(each) for each in line.edit_specs)
    assert below and top
    path = tmp_path / "edits" / below.file
    path.write_bytes(path.read_bytes()[:-5])
    for part in (tmp_path / "draws").iterdir():
        part.unlink()
    for record in (tmp_path / "edits").glob("*.part.json"):
        if top.file in record.read_text() and not is_top_there:
            record.unlink()
    with pytest.warns(DamagedPart, match=f"{path.name} is damaged: it is computed anew"):
        one.worker(store).run()
    assert [store.edits.load(each).id for each in line.edit_specs] == [below.id, top.id]
    assert compact(one.plan, store).frame.equals(rows)


def test_of_changes_that_do_not_fit_none_stays_on() -> None:
    one = Stacked()
    good, other = Nudge()(one.model, (CHURCH,)), Edit({WEIGHT: torch.ones(3, 3)})
    cache, base = ModelCache({one.source: one.model}), weight(one.model)
    with pytest.raises(Exception, match="shape"):
        cache.apply(one.model, "key", [good, other])
    assert torch.equal(weight(one.model), base) and not one.model.edits and not cache.has_on("key")


def test_a_stack_goes_into_the_plans_file_and_out_again() -> None:
    dog = Concept("dog", keep=("cat",))
    parts = [StackPart(Nudge(1), (dog,), "nudge of dog"), StackPart(Nudge(2), (CHURCH,), "nudge")]
    lines = [condition(edit_spec=EditSpec.stacked(SOURCE, parts, "both")), condition(edit_spec=stacked(1, 2))]
    plan = Plan([condition(), *lines])
    again = from_json(json.loads(json.dumps(to_json(plan))))
    assert [line.id for line in again.conditions] == [line.id for line in plan.conditions]
    assert [line.method for line in again.conditions] == ["", "both", "nudge 1, then nudge 2"]
    assert [each.concepts for each in again.conditions[1].edit_specs] == [(dog,), (CHURCH,)]
    assert again.edit_specs == plan.edit_specs
