from __future__ import annotations

import json

import pytest
from report.fake_table import rate, table
from report.page import HOSTILE

from turpentine.core.errors import BadArgument
from turpentine.report import model_card
from turpentine.runs.edit_store import EditRecord

GOOD = (-0.8, -0.9, -0.6)
MADE = EditRecord(
    "ESD", {"steps": 150, "sites": "x", "window": [0.0, 1.0]}, ["church"], "e.safetensors", "ab" * 32, 9.0, 900
)
TABLE = table(
    rate("", "erased", 9, 10),
    rate("esd-x", "erased", 1, 10, GOOD),
    rate("esd-x", "other", 5, 10, (-0.4, -0.6, -0.1), broken=0.25),
)


def test_it_has_the_lines_numbers_its_settings_and_its_failures() -> None:
    card = model_card(TABLE, "esd-x church", MADE, sha256="f" * 64)
    assert "# emoji with church erased\n" in card
    assert "| Asked for by name | 10\u202f% (2–40) | −80 (−90 to −60) | 10 |" in card
    assert "| Others | 50\u202f% (24–76) | −40 (−60 to −10) | 10 |" in card
    assert "| steps | 150 |" in card
    assert f"| edit | {'ab' * 32} |" in card
    assert "- Damage: Others: 50" in card
    assert "- Blank pictures or noise: 12 %." in card  # of both groups
    assert "| seeds | 0, 1, 2, 5 |" in card
    assert f"results.parquet SHA-256 {'f' * 64}" in card


def test_of_a_stack_it_has_the_settings_of_each_edit_in_their_order() -> None:
    top = EditRecord("CADAmplify", {"share": 0.005}, ["dog"], "f.safetensors", "cd" * 32, 9.0, 900)
    card = model_card(TABLE, "esd-x church", MADE, top)
    first, second = card.index("Edit 1 of 2, of church:"), card.index("Edit 2 of 2, of dog:")
    assert first < card.index("| steps | 150 |") < second < card.index("| share | 0.005 |")
    assert "Edit 1 of" not in model_card(TABLE, "esd-x church", MADE)


def test_its_head_is_read_by_a_hub() -> None:
    _, head, _ = model_card(TABLE, "esd-x church").split("---\n", 2)
    facts = {name: json.loads(value) for name, value in (line.split(": ", 1) for line in head.splitlines())}
    assert facts["base_model"] == "emoji"
    assert facts["tags"] == ["turpentine", "concept-erasure", "esd-x"]


def test_an_amplified_concept_is_called_so() -> None:
    made = table(rate("cad-amplify", "erased", 9, 10, (0.5, 0.2, 0.7), better="higher"))
    assert "# emoji with church amplified" in model_card(made, "cad-amplify church")


@pytest.mark.parametrize("condition", ["unedited church", "nowhere"])
def test_only_an_edited_model_has_a_card(condition: str) -> None:
    with pytest.raises(BadArgument, match="there are esd-x church"):
        model_card(TABLE, condition)


def test_names_from_outside_are_text_and_nothing_else() -> None:
    card = model_card(table(rate(HOSTILE, "erased", 1, 10, concept=HOSTILE, model=HOSTILE, condition="x")), "x")
    _, _, body = card.split("---\n", 2)
    assert "\\<script\\>" in body
    assert "<script" not in body.replace("\\<", "")
    assert "\u202e" not in card.replace("\\u202e", "")
