"""Rows as CSV that a spreadsheet reads as what it is: texts are texts, and no formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_FORMULA = r"^(?:[\pZ\pC]*[=+\-@＝＋－＠]|[\t\r\n])"
"""How a text begins that some spreadsheet takes for a formula, also behind spaces, line ends and invisible marks."""


def csv_text(rows: pl.DataFrame) -> str:
    """Return rows as CSV, texts in quotes.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.

    Example:
        >>> import polars as pl
        >>> print(csv_text(pl.DataFrame({"prompt": ["=1+1"], "seed": [0]})), end="")
        "prompt","seed"
        "'=1+1",0
    """
    import polars as pl

    plain = pl.col(pl.String).str.replace(_FORMULA, "'$0")
    return rows.with_columns(plain).write_csv(quote_style="non_numeric")
