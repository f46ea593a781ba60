import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.safe_text import one_line, safe_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("church", "church"),
        ("Gas Pump", "gas-pump"),
        ("../../etc/passwd", "etc-passwd"),
        ("Café déjà", "cafe-deja"),
        ("日本", "日本"),
        ("ЦЕРКОВЬ й", "церковь-й"),
        ("Ελλάδα", "ελλάδα"),
        ("कुत्ता", "कुत्ता"),
        ("Straße in İstanbul", "strasse-in-istanbul"),
        ("🍎 & 🐶", "red-apple-dog-face"),
        ("❤\ufe0f", "heavy-black-heart"),
        ("“…”", "x"),
        ("", "x"),
        ("..", "x"),
        (".hidden", "hidden"),
        ("CON", "x-con"),
        ("aux.txt", "x-aux.txt"),
        ("a\x00b\nc", "a-b-c"),
    ],
)
def test_safe_names(text, name):
    assert safe_name(text) == name


@given(st.text(max_size=200))
def test_a_safe_name_is_always_safe(text):
    name = safe_name(text)
    assert 1 <= len(name) <= 82 and len(name.encode()) <= 182
    assert all(char in "._-" or unicodedata.category(char)[0] in "LMN" for char in name)
    assert name.lower() == name and name.isprintable() and name[0] not in ".-"
    assert safe_name(name) == name


def test_one_line_keeps_words_and_drops_controls():
    assert one_line("a\tdog\r\n and \x1b[31mred\x07 \u202eevil") == "a dog and [31mred evil"


@given(st.text(max_size=200))
def test_one_line_is_one_line_without_controls(text):
    line = one_line(text)
    assert not any(unicodedata.category(char).startswith("C") for char in line)
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line
