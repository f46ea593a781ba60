"""The thesis's letters: which modules are touched at which steps, counted by what happens in a run."""

from __future__ import annotations

import pytest
import torch

from turpentine.core.errors import EmptySelection, UnknownName
from turpentine.explain._codes import USUAL, WINDOWS, group, intervention, is_idle, usual
from turpentine.models import Model, sample

STEPS = 20
SIXTEEN = [*(f"DOWN{n}" for n in range(1, 7)), "MID", *(f"UP{n}" for n in range(1, 10))]


def touched(model: Model, letters: str) -> set[tuple[str, int]]:
    """Labels and steps at which an intervention acts, asked of its selections of sites and their windows."""
    found = intervention(model, letters)
    return {
        (site.label, step)
        for sites in (*found.after, *found.before)
        for site in sites
        for step in (sites.window.steps(STEPS) if sites.window else range(STEPS))
    }


def every(labels, steps) -> set[tuple[str, int]]:
    return {(label, step) for label in labels for step in steps}


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("q1", every(SIXTEEN, range(2))),
        ("o1", every(SIXTEEN, range(2, 20))),
        ("q2", every(SIXTEEN, range(2, 6))),
        ("p3", every(SIXTEEN, range(6, 12))),
        ("o3", every(SIXTEEN, [*range(6), *range(12, 20)])),
        ("r4", every(SIXTEEN, range(12))),
        ("q1.2", every(SIXTEEN, range(5))),
        ("qALL", every(SIXTEEN, range(20))),
        ("qMID", every(["MID"], range(20))),
        ("oMID", every(set(SIXTEEN) - {"MID"}, range(20))),
        ("rUP9", every(set(SIXTEEN) - {"UP9"}, range(20))),
        ("qLOWRES", every(["DOWN5", "DOWN6", "MID", "UP1", "UP2", "UP3"], range(20))),
        ("pHIGHRES", every(["DOWN1", "DOWN2", "UP7", "UP8", "UP9"], range(20))),
        ("q2:MID", every(["MID"], range(2, 6))),
        ("o2:MID", every(SIXTEEN, range(20)) - every(["MID"], range(2, 6))),
    ],
)
def test_letters_touch_what_the_thesis_says(emoji: Model, letters: str, expected: set[tuple[str, int]]) -> None:
    assert touched(emoji, letters) == expected
    assert bool(intervention(emoji, letters).before) == (letters[0] in "pr")


def test_inside_and_outside_together_are_everything(emoji: Model) -> None:
    for part in [*WINDOWS, "MID", "LOWRES", "3:UP2"]:
        inside, outside = touched(emoji, f"q{part}"), touched(emoji, f"o{part}")
        assert inside | outside == every(SIXTEEN, range(20)) and not inside & outside


@pytest.mark.parametrize("letters", ["", "q", "x1", "q9", "qmid", "q1MID2:", "1q"])
def test_other_letters_are_refused_with_the_known_ones(emoji: Model, letters: str) -> None:
    with pytest.raises(UnknownName, match=r"1\.2"):
        intervention(emoji, letters)


def test_modules_that_are_not_there_are_told(emoji: Model) -> None:
    with pytest.raises(EmptySelection, match="UP77"):
        intervention(emoji, "qUP77")
    high = group(emoji.sites.only(kind="cross-attention", level="module"), "HIGHRES")
    with pytest.raises(EmptySelection, match="a quarter of"):
        group(high, "LOWRES")


def test_severing_acts_on_the_prompt_alone(sd1: Model) -> None:
    """With guidance 0 the picture is that of ε(x, ∅), which no intervention may change."""
    from turpentine.models.branches import run_branches

    cond, empty = sd1.encode(["a church"]), sd1.encode([""])
    found = [intervention(sd1, letters) for letters in ("qALL", "o1", "pALL")]
    plain, runs = run_branches(sd1, found, cond, empty, sd1.noise([0]), steps=4, guidance_scale=0.0)
    assert all(torch.allclose(run, plain, atol=1e-4) for run in runs)
    alone = list(sample(sd1, empty, empty, sd1.noise([0]), steps=4, guidance_scale=1.0))[-1].x_next
    torch.testing.assert_close(plain, alone, rtol=1e-3, atol=1e-3)


def test_what_is_usual_is_left_out_where_a_model_has_no_such_modules(emoji: Model, sdxl: Model) -> None:
    assert usual(emoji) == USUAL
    found = usual(sdxl)
    assert set(found) < set(USUAL) and {"q1", "qALL", "qHIGHRES"} <= set(found)
    for letters in found:
        intervention(sdxl, letters)


def test_letters_are_idle_where_their_window_holds_no_step() -> None:
    """Of four steps none is in the first tenth, all outside of it; other names than letters are of no window."""
    asked = ("q1", "p1:MID", "q1MID", "q2", "o1", "r1:MID", "qMID", "untouched", "+0.1")
    assert [letters for letters in asked if is_idle(letters, 4)] == ["q1", "p1:MID", "q1MID"]
    assert not any(is_idle(letters, 20) for letters in asked)
