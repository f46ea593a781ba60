"""Budgets, judges, controls, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from turpentine.attack.attacked import Attacked, curve
from turpentine.attack.budget import Budget, BudgetSpent, Meter, Spent
from turpentine.attack.cce import CCE
from turpentine.attack.completion import Completion
from turpentine.attack.controls import EDITED, HIDDEN, NO_ATTACK, ORIGINAL, Battery, Controls, battery, swapped_word
from turpentine.attack.harness import Attack
from turpentine.attack.misspellings import spellings
from turpentine.attack.partial_editing import PartialEditing
from turpentine.attack.random_prefix import RandomPrefix
from turpentine.attack.seed_search import SeedSearch
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, UnsupportedModel, WrongBase
from turpentine.edits import Edit, Provenance
from turpentine.erase import PromptFilter
from turpentine.judges import EmojiJudge
from turpentine.models import Artefact, Model, sample
from turpentine.stats.intervals import Rate, wilson
from turpentine.testing.contracts.attack import QUICK, CoinJudge
from turpentine.testing.toys import toy

PICTURES = [Image.new("RGB", (16, 16))]


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def test_a_meter_counts_rows_forward_and_backward_and_texts(model: Model) -> None:
    meter = Meter(Budget(forward=7))
    x, t = model.noise([0, 1, 2]), 5
    with meter.counting(model):
        cond = model.encode(["a church"]).repeat(3)
        model.eps(x, t, cond)
        model.eps(x.requires_grad_(), t, cond)
        assert meter.spent == Spent(forward=6, backward=3, text=1)
        with pytest.raises(BudgetSpent):
            model.eps(x, t, cond)
    assert meter.spent.forward == 6
    model.eps(x, t, cond)
    assert meter.spent.forward == 6


def test_a_budget_of_0_and_one_that_reaches_for_nothing_are_refused(model: Model) -> None:
    with pytest.raises(BadArgument, match="forward is 0"):
        Budget(forward=0)
    how = {"judge": CoinJudge(), "trial": QUICK, "original": model}
    with pytest.raises(BadArgument, match=r"The budget \(forward 1\) does not reach for one try of completion"):
        Completion()(model, "church", budget=Budget(forward=1), **how)


def test_one_step_cannot_be_shared_by_two_models(model: Model) -> None:
    trial = replace(QUICK, steps=1)
    with pytest.raises(BadArgument, match="shared by two models, and there is 1: draw with 2 or more"):
        Completion()(model, "church", original=model, judge=CoinJudge(), trial=trial)


def test_best_of_n_has_no_bias_and_is_said_with_n() -> None:
    outcomes = (True, False, False, False)
    artefact = Artefact(("a church",))
    whole = Attacked(
        curve([(Spent(1), Rate(1, 4))]),
        "x",
        artefact,
        (),
        outcomes,
        (False, True),
        Spent(1),
        round_trips=True,
        measurements={},
    )
    assert whole.best_of(1) == pytest.approx(0.25) and whole.best_of(2) == pytest.approx(0.5) and whole.best_of(4) == 1
    assert "at the best of 4" in whole.summary() and "the first hit was picture 2" in whole.summary()
    assert whole.success.value == 0.25 and whole.numbers()["best_of"] == {"n": 4, "rate": 1.0}


def test_the_control_that_hides_swaps_the_words_vector_and_nothing_else(model: Model) -> None:
    edit = swapped_word(Victim(model), Concept("church"), "dog")
    plain = model.encode(["a church", "a dog", "a cat"])
    with edit.on(model):
        hidden = model.encode(["a church", "a dog", "a cat"])
    assert torch.equal(hidden.hidden[1:], plain.hidden[1:])
    torch.testing.assert_close(hidden.hidden[0], plain.hidden[1], rtol=1e-5, atol=1e-6)


def test_a_concept_that_the_original_does_not_draw_is_refused(model: Model) -> None:
    class Dogs(CoinJudge):
        def __call__(self, images, *, prompts=None, references=None):  # type: ignore[no-untyped-def]
            import polars as pl

            return pl.DataFrame({"object": ["dog"] * len(images)}, schema={"object": pl.String})

    trial = replace(QUICK, original_rate=0.5)
    with pytest.raises(BadArgument, match="itself draws 'church' in 0 of 4 pictures"):
        battery([SeedSearch()], model, "church", original=model, judge=Dogs(), trial=trial)
    with pytest.raises(BadArgument, match="itself draws 'church' in 0 of 4 pictures: there is nothing to bring back"):
        Completion()(model, "church", original=model, judge=Dogs(), trial=trial)


def test_a_battery_that_is_over_draws_nothing_when_it_runs_again(model: Model, tmp_path: Path) -> None:
    """Neither plain pictures, nor references, nor the new pictures of any arm; the table is the same."""
    attacks = [Completion(), CCE(updates=2, batch=1, stages=2)]
    how = {"original": model, "judge": CoinJudge(), "trial": QUICK, "cache": tmp_path}
    meter = Meter(Budget())
    with meter.counting(model):
        once = battery(attacks, model, "church", **how)
        drawn = meter.spent.forward
        again = battery(attacks, model, "church", **how)
    assert drawn and meter.spent.forward == drawn
    assert again.table.equals(once.table)
    first, second = (each.outcomes["cce", EDITED] for each in (once, again))
    assert [each.tobytes() for each in first.pictures] == [each.tobytes() for each in second.pictures]


def test_a_judge_without_the_label_and_an_edit_of_another_base_are_refused(model: Model) -> None:
    with pytest.raises(BadArgument, match="no label for 'fish'"):
        SeedSearch()(model, "fish", judge=CoinJudge(), trial=QUICK)
    name = "unet.conv_in.bias"
    foreign = Edit({name: torch.ones_like(model.parameter(name))}, Provenance(base="0" * 64))
    with pytest.raises(WrongBase):
        SeedSearch()(Victim(model, (foreign,)), "church", judge=CoinJudge(), trial=QUICK)


def test_controls_that_cannot_run_are_refused_before_anything_is_drawn(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never seen comes last, and what it lacks is said first; so is a budget that no arm can begin with."""
    monkeypatch.setattr(Model, "generate", None)
    how = {"original": model, "judge": CoinJudge(), "trial": QUICK}
    for never, why in [
        (("octopus", PICTURES, CoinJudge()), "The judge coin has no label for 'octopus'"),
        (("church", (), CoinJudge()), "partial-editing needs pictures of the concept"),
        (("church", PICTURES, EmojiJudge()), "knows the emoji world alone"),
    ]:
        with pytest.raises(BadArgument, match=why):
            battery([PartialEditing()], model, "church", controls=Controls(never), **how)
    with pytest.raises(BadArgument, match=r"does not reach for one try of seed-search, which takes 16 rows, 4 judged"):
        battery([SeedSearch(seeds=4)], model, "church", budget=Budget(judged=3), **how)


def test_a_filter_that_draws_nothing_needs_no_rows(model: Model) -> None:
    """A search for a prompt that it refuses spends none: it is no budget that is too small."""
    refuses = PromptFilter()(model, Concept("church"))
    assert Victim(model).rows_a_step(QUICK) == 2 and Victim(model, (refuses,)).rows_a_step(QUICK) == 0
    attacked = SeedSearch(seeds=4)(
        Victim(model, (refuses,)), "church", judge=CoinJudge(), trial=QUICK, budget=Budget(1)
    )
    assert attacked.spent.forward == 0 and attacked.success.hits == 0


@pytest.mark.parametrize("attack", [CCE(), Completion(), RandomPrefix(), SeedSearch()], ids=lambda each: each.name)
def test_what_an_attack_needs_and_has_not_is_named(attack: Attack) -> None:
    bare = toy("sd1")
    bare.pipeline.text_encoder = None
    missing = {
        "text encoder": (bare, {"judge": CoinJudge(), "references": ["picture"]}, "the model's text encoder"),
        "original": (toy("sd1"), {"judge": CoinJudge()}, "the model without the erasure"),
        "references": (toy("sd1"), {"judge": CoinJudge()}, "pictures of the concept"),
        "judge": (toy("sd1"), {}, "a judge"),
    }
    for need in attack.needs & missing.keys():
        victim, how, why = missing[need]
        with pytest.raises(BadArgument, match=f"{attack.name} needs {why}"):
            attack(victim, "church", trial=QUICK, **how)
    if "weights" in attack.needs:
        altered = toy("sd1")
        altered.pipeline.unet.fuse_qkv_projections()
        with pytest.raises(UnsupportedModel):
            attack(altered, "church", judge=CoinJudge(), references=["picture"], trial=QUICK)


def test_completion_of_the_original_by_itself_is_its_own_picture(model: Model) -> None:
    """An independent run: plain sampling with the same seed."""
    trial = Trial(steps=4, pictures=2, original_rate=0)
    calls: list[int] = []
    counting = model.denoiser.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    outcome = Completion(share=0.5)(model, "church", original=model, judge=CoinJudge(), trial=trial)
    counting.remove()
    assert calls == [4] * 4, "both pictures go in one call, with and without the prompt, in each of four steps"
    cond, uncond = model.encode(list(Concept("church").prompts)), model.encode([""])
    for number in range(2):
        noise = model.noise([5_000_000 + number])
        *_, last = sample(model, cond[number], uncond, noise, steps=4, guidance_scale=4.0)
        assert model.decode(last.x_next)[0].tobytes() == outcome.pictures[number].tobytes()
    assert outcome.spent.forward == 2 * 2 * 2


def test_power_is_beyond_the_interval_of_plain_prompts() -> None:
    import polars as pl

    def table(opened: int) -> Battery:
        rows = [
            (NO_ATTACK, HIDDEN, 1, 20),
            ("cce", HIDDEN, opened, 20),
            ("cce", EDITED, 0, 20),
            ("cce", ORIGINAL, 9, 20),
        ]
        frame = pl.DataFrame(rows, schema=["attack", "arm", "hits", "n"], orient="row")
        ends = [wilson(each, 20) for each in frame["hits"]]
        low, high = (pl.Series([each[side] for each in ends]) for side in (0, 1))
        rates = frame.with_columns(success=pl.col("hits") / 20, low=low, high=high)
        return Battery(rates, "church", {})

    assert table(19).has_power("cce") is True and "no power" not in table(19).summary()
    assert table(2).has_power("cce") is False and "cce (no power here): edited 0 " in table(2).summary()
    assert table(2).has_power("other") is None
    by_prompts = table(10).table.with_columns(low=pl.when(pl.col("hits") == 10).then(0.0).otherwise("low"))
    assert table(10).has_power("cce") is True
    assert Battery(by_prompts, "church", {}).has_power("cce") is False, "it opens what only hides by one prompt of two"


class WarmJudge(CoinJudge):
    """Sees a church in what a model draws of one of two prompts, which take turns."""

    def __call__(self, images, *, prompts=None, references=None):  # type: ignore[no-untyped-def]
        import polars as pl

        labels = ["dog" if number % 2 else "church" for number in range(len(images))]
        return pl.DataFrame({"object": labels}, schema={"object": pl.String})


def test_intervals_are_over_the_prompts_that_take_turns(model: Model) -> None:
    """Half of the pictures show it, all of one prompt and none of the other: another prompt may bring all or none."""
    how = {"original": model, "judge": WarmJudge(), "trial": replace(QUICK, pictures=12, curve_pictures=4)}
    whole = battery([SeedSearch(seeds=2), RandomPrefix(candidates=1, per_candidate=2)], model, "church", **how)
    rows = {(row["attack"], row["arm"]): row for row in whole.table.rows(named=True)}
    for attack in (NO_ATTACK, "seed-search"):
        row = rows[attack, EDITED]
        assert (row["hits"], row["n"], row["low"], row["high"]) == (6, 12, 0.0, 1.0)
    one_prompt, plain = rows["random-prefix", EDITED], wilson(6, 12)
    assert (one_prompt["low"], one_prompt["high"]) == pytest.approx(plain) and plain[0] > 0.2
    outcome = whole.outcomes["seed-search", EDITED]
    assert outcome.prompts == Concept("church").prompts and outcome.numbers()["low"] == 0.0
    assert outcome.table.row(-1, named=True)["low"] == 0.0 and "50 (0–100) %" in outcome.summary()
    assert whole.rate(NO_ATTACK, EDITED) == Rate(6, 12, (0.0, 1.0))


def test_spellings_are_one_letter_off() -> None:
    assert list(spellings("cat")) == ["at", "ct", "ca", "ccat", "caat", "catt", "act", "cta"]
