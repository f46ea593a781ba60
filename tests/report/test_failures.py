from __future__ import annotations

import polars as pl
from report.fake_table import rate, table

from turpentine.bench.lines import lines
from turpentine.report.failures import LIMIT, failures, failures_of

RESULTS = {"method": pl.String, "concept": pl.String, "prompt": pl.String, "seed": pl.Int64, "error": pl.String}
NOTHING = pl.DataFrame(schema=RESULTS)

GOOD = (-0.8, -0.9, -0.6)
NONE = (0.0, -0.1, 0.1)


def test_a_good_edit_has_no_failure() -> None:
    made = table(rate("", "erased", 9, 10), rate("uce", "erased", 1, 10, GOOD), rate("uce", "other", 9, 10, NONE))
    assert failures(lines(made), NOTHING) == []


def test_each_error_is_told_once_with_its_number_the_most_frequent_first() -> None:
    rows = [("uce", "church", "a dog", seed, "NaN") for seed in range(3)] + [("", "church", "a cat", 0, "no disk")]
    (errors,) = failures([], pl.DataFrame(rows, schema=RESULTS, orient="row"))
    assert [(one.who, one.sentence) for one in errors.worst] == [
        ("uce of church", "NaN (“a dog”, seed 0, and 2 more)"),
        ("unedited of church", "no disk (“a cat”, seed 0)"),
    ]


def test_a_broken_model_is_called_broken() -> None:
    made = table(
        rate("", "erased", 9, 10, broken=0.1),
        rate("wipe", "erased", 0, 10, GOOD, broken=0.5),
        rate("uce", "erased", 1, 10, GOOD, broken=0.1),
        rate("loco", "erased", 1, 10, GOOD, collapsed=0.25),
    )
    (broken,) = failures(lines(made), NOTHING)
    assert [(one.who, one.sentence) for one in broken.worst] == [
        ("wipe of church", "blank or noise: 50\u202f%, 10\u202f% before"),
        ("loco of church", "one picture for all seeds of a prompt: 25\u202f%, 0\u202f% before"),
    ]


def test_no_effect_and_damage_are_what_the_intervals_say() -> None:
    made = table(
        rate("", "erased", 9, 10),
        rate("uce", "erased", 6, 10, (-0.3, -0.6, 0.0)),
        rate("uce", "other", 5, 10, (-0.4, -0.6, -0.1)),
        rate("uce", "object", 8, 10, (-0.1, -0.3, 0.1)),
        rate("esd-x", "erased", 1, 10, GOOD),
        rate("esd-x", "other", 1, 10, (-0.8, -0.9, -0.7)),
    )
    no_effect, damage = failures(lines(made), NOTHING)
    assert [one.who for one in no_effect.worst] == ["uce of church"]
    assert [(one.who, one.sentence) for one in damage.worst] == [
        ("esd-x of church", "Others: 10\u202f% (2–40), −80 (−90 to −70)"),
        ("uce of church", "Others: 50\u202f% (24–76), −40 (−60 to −10)"),
    ]
    uce = next(line for line in lines(made) if line.method == "uce")
    assert [kind.name for kind in failures_of(uce, lines(made))] == ["No effect", "Damage"]


def test_many_failures_are_cut_short_and_counted() -> None:
    rows = [rate(f"m{n}", "other", 1, 10, (-0.8, -0.9, -0.7)) for n in range(LIMIT + 3)]
    (damage,) = failures(lines(table(*rows)), NOTHING)
    assert (len(damage.worst), damage.all) == (LIMIT, LIMIT + 3)
