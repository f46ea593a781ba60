"""What gradients of J take is reckoned beforehand: held against what is counted, and refused where it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from allocated import allocated_peak

from turpentine.attribution import GradientSum, Objective, approximation, attributable
from turpentine.attribution.memory import AttributionWork
from turpentine.concepts import Concept
from turpentine.core.errors import NoMemory, NotFinite
from turpentine.erase.cad import CAD
from turpentine.erase.cad_amplify import CADAmplify
from turpentine.explain.coar import COAR
from turpentine.models import Model, Trajectory, count_rows
from turpentine.models.row_memory import PeakBytes
from turpentine.testing.toys import toy


def objective_on(model: Model, points: int) -> Objective:
    run = Trajectory.record(model, ["a church"], [0], steps=points, guidance_scale=3.0)
    return Objective.apart(model, run, guidance_scale=3.0)


def attributed(model: Model, objective: Objective, work: AttributionWork) -> None:
    """All that CAD does with gradients."""
    total = GradientSum(model, objective, tuple(work.weights), work.rows, is_squared=work.is_squared)
    while not total.is_done:
        total.advance()
    alpha = total.attribution()
    if work.is_copied:
        _ = {name: each.abs() for name, each in alpha.alpha.items()}
    if work.is_tried:
        with suppress(NotFinite):  # the toys' trials need not tell weights apart
            approximation(alpha, trials=4, share=0.1, batch_size=work.rows)


def work_on(model: Model, sites: str, rows: int, **how: Any) -> AttributionWork:
    weights = {name: model.parameter(name).detach() for name in attributable(model, sites)}
    return AttributionWork(weights, rows, 0, **how).counted(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["sd1", "sd3"])
@pytest.mark.parametrize(
    ("sites", "rows", "how"),
    [
        ("feed-forward", 4, {}),
        ("all", 1, {}),
        ("all", 1, {"is_squared": True}),
        ("all", 1, {"is_copied": True}),
        ("all", 1, {"is_tried": True}),
    ],
    ids=["activations", "gradients", "squares", "scores", "trials"],
)
def test_the_reckoned_memory_is_what_an_attribution_takes(
    name: str, dtype: torch.dtype, sites: str, rows: int, how: dict[str, Any]
) -> None:
    """Within 6 % of what lives at a time, in a UNet and in a transformer, by whatever is most."""
    model = toy(name).to(dtype=dtype)
    work, objective = work_on(model, sites, rows, **how), objective_on(model, rows)
    with PeakBytes() as count:
        attributed(model, objective, work)
    assert work.total == pytest.approx(count.peak, rel=0.06)


@pytest.mark.parametrize("name", ["sd1", "sd3"])
def test_torchs_profiler_allocates_as_much(name: str) -> None:
    model = toy(name)
    work, objective = work_on(model, "feed-forward", 8), objective_on(model, 8)
    attributed(model, objective, work)
    assert work.total == pytest.approx(allocated_peak(lambda: attributed(model, objective, work)), rel=0.08)


QUICK = CAD(sites="all", sampling_steps=2, trials=4, batch_size=2)


def with_free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("turpentine.models.training_memory.free_memory", lambda device: size)


def test_what_does_not_fit_is_refused_before_any_picture_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the sentence that trainings have; what it names is taken."""
    model = toy("sd1")
    whole, single = work_on(model, "all", 2, is_tried=True), work_on(model, "all", 1, is_tried=True)
    assert single.total < whole.total
    with_free(monkeypatch, whole.total - 1)
    numbers = rf"Attributing to {whole.numbers:,} weights of .* takes .* beside the model \(.* for the sum of their"
    with count_rows(model) as count, pytest.raises(NoMemory, match=numbers) as refused:
        QUICK(model, Concept("church"))
    assert "for 2 rows forward and backward), and" in str(refused.value) and count.rows <= 2
    assert "give --batch-size 1, which takes" in str(refused.value) and "--dtype fp16" in str(refused.value)
    with_free(monkeypatch, single.total)
    assert replace(QUICK, batch_size=1)(model, Concept("church")).names
    with_free(monkeypatch, 10)
    least = r"even with --batch-size 1 and --trials 0 and --dtype fp16 it takes .*; choose fewer --sites, or take"
    with pytest.raises(NoMemory, match=least):
        QUICK(model, Concept("church"))
    with pytest.raises(NoMemory, match=r"1 row forward and backward\).*even with --dtype fp16 it takes"):
        replace(QUICK, score="taylor")(model, Concept("church"))
    assert replace(QUICK, score="magnitude")(model, Concept("church")).names, "which takes no gradient"


@pytest.mark.parametrize("take", ["amplify", "coar", "attribution"])
def test_whatever_else_attributes_is_refused_too(take: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy("sd1")
    with_free(monkeypatch, 10)
    work: dict[str, Callable[[], Any]] = {
        "amplify": lambda: CADAmplify(source="generated")(model, Concept("church")),
        "coar": lambda: COAR(("cross-attention",), 34, 0.3, steps=1)(model, ["a church"], [0]),
        "attribution": lambda: QUICK.attribution(model, Concept("church")),
    }
    with count_rows(model) as count, pytest.raises(NoMemory, match=r"^Attributing to .* weights of .*--batch-size 1"):
        work[take]()
    assert count.rows <= 2
