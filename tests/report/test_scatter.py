from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from report.fake_table import rate, score, table, whole

from turpentine.bench.lines import columns, lines, pooled
from turpentine.report.scatter import Point, Scatter, scatter

COUNTS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=8)


def drawn(*rows: dict[str, object]) -> Scatter | None:
    made = table(*rows)
    return scatter(columns(made), lines(made), ())


def named(found: Scatter | None) -> dict[str, Point]:
    assert found is not None
    return {point.name: point for point in found.points}


@given(COUNTS)
def test_the_front_is_what_no_other_method_outdoes(counts: list[tuple[int, int]]) -> None:
    rows = [rate("", "erased", 0, 10), rate("", "other", 10, 10)]
    for index, (gone, kept) in enumerate(counts):
        rows += [rate(f"m{index}", "erased", gone, 10), rate(f"m{index}", "other", kept, 10)]
    points = named(drawn(*rows))
    for index, (gone, kept) in enumerate(counts):
        outdone = False
        for other_gone, other_kept in counts:
            as_good = other_gone <= gone and other_kept >= kept
            outdone = outdone or (as_good and (other_gone < gone or other_kept > kept))
        assert points[f"m{index}"].is_front == (not outdone)
    assert not points["unedited"].is_front


def test_points_and_intervals_stand_where_their_values_are() -> None:
    found = drawn(rate("uce", "erased", 2, 10), rate("uce", "other", 9, 10))
    assert found is not None
    (point,) = found.points
    left, right = found.across.start, found.across.stop
    bottom, top = found.along.start, found.along.stop
    assert abs(point.x - (right - 0.2 * (right - left))) < 1e-9
    assert abs(point.y - (bottom - 0.9 * (bottom - top))) < 1e-9
    assert point.across is not None
    assert point.along is not None
    assert point.across.high < point.x < point.across.low
    assert point.along.high < point.y < point.along.low
    assert "Asked for by name 20\u202f% (6–51)" in point.tooltip


def test_better_is_up_and_to_the_right_whichever_way_a_measure_counts() -> None:
    for better, good, bad in (("higher", 0.9, 0.1), ("lower", 0.1, 0.9)):
        points = named(
            drawn(
                *(score("good", group, "mean of lpips", good, better) for group in ("erased", "other")),
                *(score("bad", group, "mean of lpips", bad, better) for group in ("erased", "other")),
            )
        )
        assert points["good"].x > points["bad"].x
        assert points["good"].y < points["bad"].y
        assert points["good"].is_front
        assert not points["bad"].is_front


def test_what_is_kept_is_the_group_with_the_most_pictures() -> None:
    found = drawn(rate("uce", "erased", 2, 10), rate("uce", "neighbour", 3, 5), rate("uce", "other", 3, 50))
    assert found is not None
    assert found.along.column.group == "other"


def test_without_anything_to_keep_there_is_nothing_to_draw() -> None:
    assert drawn(rate("uce", "erased", 2, 10)) is None
    assert drawn(rate("uce", "other", 2, 10)) is None


def test_names_do_not_stand_on_one_another() -> None:
    rows = [row for n in range(9) for row in (rate(f"m{n}", "erased", 1, 10), rate(f"m{n}", "other", 9, 10))]
    places = sorted(point.name_y for point in named(drawn(*rows)).values())
    assert all(later - earlier >= 14 for earlier, later in pairwise(places))


def test_one_value_for_all_can_be_drawn() -> None:
    found = drawn(score("uce", "erased", "mean of clip", 0.3, "lower"), score("uce", "other", "fid of x", 0.0, "lower"))
    assert found is not None
    (point,) = found.points
    assert found.across.start < point.x < found.across.stop
    assert found.along.stop < point.y < found.along.start


def test_concepts_stand_small_behind_their_method_and_take_no_part_in_the_front() -> None:
    rows = [
        rate("uce", group, hits, 10, concept=concept)
        for concept, hits in (("church", 5), ("dog", 1))
        for group in ("erased", "other")
    ]
    rows += [whole("uce", group, 6, 20) for group in ("erased", "other")]
    rows += [rate("rece", "erased", 2, 10), rate("rece", "other", 9, 10)]
    made = table(*rows)
    found = scatter(columns(made), pooled(made), lines(made))
    assert found is not None
    assert sorted(point.name for point in found.points) == ["rece", "uce", "uce, church", "uce, dog"]
    assert {point.name for point in found.points if point.is_single} == {"uce, church", "uce, dog"}
    assert {point.name for point in found.points if point.is_front} == {"rece"}
