from __future__ import annotations

import pytest
from report.fake_table import rate, score, table, whole

from turpentine.bench import wilson
from turpentine.bench.lines import UNEDITED, columns, lines, pooled


def test_columns_are_the_groups_in_order_and_their_measures() -> None:
    found = columns(
        table(
            rate("", "other", 8, 10),
            rate("", "erased", 9, 10),
            score("", "other", "mean of clip", 0.3, "higher"),
        )
    )
    assert [(column.group, column.measure) for column in found] == [
        ("erased", "rate of hit"),
        ("other", "rate of hit"),
        ("other", "mean of clip"),
    ]
    assert [column.heading for column in found] == ["Asked for by name", "Others", "Others: mean of clip"]
    assert [column.is_rate for column in found] == [True, True, False]


def test_a_line_has_a_place_for_each_column_and_none_where_it_has_no_number() -> None:
    unedited, edited = lines(
        table(rate("", "erased", 9, 10), rate("esd-x", "erased", 1, 10), rate("esd-x", "other", 7, 10, broken=0.5))
    )
    assert (unedited.method, edited.method) == (UNEDITED, "esd-x")
    assert [number and number.text for number in unedited.numbers] == ["90\u202f%", None]
    assert [number and number.text for number in edited.numbers] == ["10\u202f%", "70\u202f%"]
    assert edited.broken == pytest.approx((10 * 0.0 + 10 * 0.5) / 20)


def test_numbers_are_told_with_their_intervals_and_changes() -> None:
    ((number,),) = (line.numbers for line in lines(table(rate("esd-x", "erased", 2, 10, (-0.7, -0.9, -0.4)))))
    assert number is not None
    assert (number.text, number.span) == ("20\u202f%", "6–51")
    assert (number.change, number.change_span) == ("−70", "−90 to −40")
    row = score("esd-x", "other", "fid of features", 12.3456, "lower", diff=-0.5, diff_low=-1.25, diff_high=0.0)
    ((number,),) = (line.numbers for line in lines(table(row)))
    assert number is not None
    assert (number.text, number.span, number.change, number.change_span) == ("12.3", "", "−0.5", "−1.25 to 0")


@pytest.mark.parametrize(
    ("group", "better", "diff", "tone"),
    [
        ("erased", "lower", (-0.5, -0.7, -0.1), "gone"),
        ("erased", "lower", (-0.5, -0.7, 0.0), "even"),
        ("erased", "lower", (0.5, 0.1, 0.7), "worse"),
        ("erased", "higher", (0.5, 0.1, 0.7), "gone"),
        ("other", "higher", (-0.5, -0.7, -0.1), "worse"),
        ("other", "higher", (0.5, 0.1, 0.7), "better"),
        ("other", "lower", (0.5, 0.1, 0.7), "worse"),
        ("other", None, (0.5, 0.1, 0.7), "even"),
        ("other", "higher", None, "even"),
    ],
)
def test_a_change_beyond_chance_is_told_by_which_way_is_better(
    group: str, better: str | None, diff: tuple[float, float, float] | None, tone: str
) -> None:
    (line,) = lines(table(rate("esd-x", group, 5, 10, diff, better=better)))
    assert line.numbers[0] is not None
    assert line.numbers[0].tone == tone


def test_a_pooled_line_has_the_numbers_of_the_tables_rows_and_the_cost_of_all() -> None:
    found = pooled(
        table(
            rate("", "erased", 9, 10),
            rate("esd-x", "erased", 1, 10),
            rate("", "erased", 30, 30, concept="dog"),
            # Two of twenty could not be judged.
            rate("esd-x", "erased", 9, 18, concept="dog", pictures=20, errors=2, broken=0.5),
            whole("", "erased", 39, 40),
            whole("esd-x", "erased", 10, 28, (-0.6, -0.9, -0.3), pictures=30),
        )
    )
    assert [(line.method, line.concept) for line in found] == [(UNEDITED, "2 concepts"), ("esd-x", "2 concepts")]
    (erased,) = found[1].numbers
    assert erased is not None
    assert (erased.hits, erased.value, erased.diff_low) == (10, pytest.approx(10 / 28), -0.9)
    assert (erased.low, erased.high) == wilson(10, 28)
    assert (found[1].seconds, found[1].bytes, found[1].errors) == (20.0, 2000, 2)
    assert found[1].broken == pytest.approx((10 * 0.0 + 20 * 0.5) / 30)


def test_a_method_with_one_concept_is_its_line() -> None:
    one = table(rate("", "erased", 9, 10), rate("esd-x", "erased", 1, 10))
    assert pooled(one) == lines(one)


def test_methods_of_two_models_are_not_pooled() -> None:
    found = pooled(table(rate("uce", "erased", 1, 10), rate("uce", "erased", 3, 10, model="other", condition="x")))
    assert [line.model for line in found] == ["emoji", "other"]
