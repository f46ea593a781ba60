from __future__ import annotations

from PIL import Image

from turpentine.cli.contact_sheet import Row, contact_sheet


def _pictures(count: int, side: int = 32) -> list[tuple[str, Image.Image]]:
    return [(f"seed {seed}", Image.new("RGB", (side, side), (10 * seed, 0, 255))) for seed in range(count)]


def test_small_pictures_are_enlarged_without_blur() -> None:
    page = contact_sheet([Row("a church", _pictures(3))])
    for seed in range(3):
        left = 8 + seed * 136
        corners = [(left, 24), (left + 127, 24 + 127)]
        assert {page.getpixel(corner) for corner in corners} == {(10 * seed, 0, 255)}
    assert page.size == (8 + 3 * 136, 8 + 168)


def test_large_pictures_stay() -> None:
    assert contact_sheet([Row("a church", _pictures(1, 512))]).width == 512 + 16


def test_a_long_prompt_is_shown_whole_over_one_picture() -> None:
    short, long = (contact_sheet([Row(title, _pictures(1))]) for title in ("a church", "a church by the sea " * 12))
    assert long.width == short.width >= 400
    lines = (long.height - short.height) // 16
    assert lines >= 240 * 7 // long.width - 1  # no word is left out
    ink = [sum(long.getpixel((x, 8 + 16 * line + 8))[0] < 200 for x in range(long.width)) for line in range(lines + 1)]
    assert all(ink)


def test_many_pictures_go_on_in_the_next_row() -> None:
    page = contact_sheet([Row("a church", _pictures(11)), Row("a dog", _pictures(2))])
    assert page.size == (8 + 8 * 136, 8 + 3 * 168)


def test_any_title_can_be_written() -> None:
    contact_sheet([Row("\x1b[31m" + "église 教会 🎨 " * 40, _pictures(1))])
