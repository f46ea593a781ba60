"""Make text from outside safe for a file name or a terminal."""

from __future__ import annotations

import re
import unicodedata

from turpentine.core.errors import BadArgument

_NAME_LIMIT = 80
_NAME_BYTES = 180  # file systems take 255, and what is written beside the name needs some
_ACCENTS = re.compile("([a-z])[\u0300-\u036f]+")
_DEVICE_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})


def safe_name(text: str) -> str:
    """Turn any text into a file name of 1 to 80 lower case letters and digits of any script, `.`, `_` and `-`.

    Latin letters lose their accents, and signs such as emoji have their names. The name is never empty or hidden, leads
    to no other folder, and is none that Windows reserves for a device.

    Example:
        >>> safe_name("Van Gogh: Café"), safe_name("../../etc"), safe_name("con"), safe_name("🍎 und Straße, 教会")
        ('van-gogh-cafe', 'etc', 'x-con', 'red-apple-und-strasse-教会')
    """
    decomposed = _ACCENTS.sub(r"\1", unicodedata.normalize("NFKD", text).casefold().lower())
    plain = unicodedata.normalize("NFC", "".join(map(_name_char, decomposed)))
    name = re.sub("-+", "-", plain).strip("-._")[:_NAME_LIMIT]
    name = name.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip("-._")
    if not name or name.split(".")[0] in _DEVICE_NAMES:
        return f"x-{name}".rstrip("-")
    return name


def _name_char(char: str) -> str:
    """Return what stands for a character in a file name."""
    if "\ufe00" <= char <= "\ufe0f":  # which only choose a sign's look
        return ""
    if char.isalnum() or char in "._-" or unicodedata.category(char) in {"Mn", "Mc"}:
        return char
    if char.isascii() or unicodedata.category(char) != "So":
        return "-"
    return "-" + re.sub("[^a-z0-9]+", "-", unicodedata.name(char, "").lower()) + "-"


def check_text(text: str, called: str) -> None:
    r"""Check that a text is text: what was decoded wrongly holds halves of characters, which nothing can write or read.

    Args:
        text: From outside.
        called: Its name in the message.

    Raises:
        BadArgument: It holds a lone surrogate.

    Example:
        >>> check_text("café", "The prompt")
        >>> check_text("caf\udce9", "The prompt")
        Traceback (most recent call last):
        turpentine.core.errors.BadArgument: The prompt 'caf\udce9' is no valid Unicode: write it in UTF-8.
    """
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise BadArgument(f"{called} {text!r} is no valid Unicode: write it in UTF-8.")


# Signs that a narrow encoding lacks, as they are typed without it; others are taken apart or named by Unicode.
_TYPED = {
    **{
        "−": "-",
        "–": "-",
        "—": "-",
        "·": "*",
        "×": "x",
        "÷": "/",
        "±": "+-",
        "√": "sqrt",
        "‖": "||",
        "→": "->",
        "←": "<-",
    },
    **{
        "≤": "<=",
        "≥": ">=",
        "≈": "~",
        "≠": "!=",
        "∅": "{}",
        "∂": "d",
        "λ": "lambda",
        "∈": "in",
        "∪": "or",
        "∩": "and",
        "′": "'",
    },
    **{"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "ᵀ": "^T", "•": "*", "€": "EUR"},
    **dict.fromkeys("█▉▊▋▌━", "#"),
    **dict.fromkeys("▍▎▏╸╺─", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
}


def typed(text: str) -> str:
    """Return text in ASCII: signs as they are typed, letters without their accents, Greek ones by name, others as "?".

    Example:
        >>> typed("‖ΔW‖ ≤ λ·ε₀, café, 教")
        '||DeltaW|| <= lambda*epsilon0, cafe, ?'
    """
    return "".join(char if char.isascii() else _typed_char(char) for char in text)


def _typed_char(char: str) -> str:
    if char in _TYPED:
        return _TYPED[char]
    bare = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    if bare:
        return bare
    match unicodedata.name(char, "").split():
        case ["GREEK", "SMALL", "LETTER", name, *_]:
            return name.lower()
        case ["GREEK", "CAPITAL", "LETTER", name, *_]:
            return name.capitalize()
        case ["COMBINING", *_]:
            return ""
    return "?"


def one_line(text: str) -> str:
    r"""Put text on one line without control characters, so that it cannot move a terminal's cursor.

    Example:
        >>> one_line("two\nlines\x1b[2J")
        'two lines[2J'
    """
    visible = "".join(" " if char.isspace() else char for char in text if char.isspace() or not _is_control(char))
    return " ".join(visible.split())


def _is_control(char: str) -> bool:
    # Cc: escapes and bells; Cf: marks that reverse the direction of text; Cs, Co, Cn: no visible character.
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn"}
