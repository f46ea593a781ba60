"""The CAD paper's tables (arXiv 2412.02542) and the means of them that our pages show."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# Class: accuracy on the erased class of SD 1.4, ConceptPrune, ESD, RECE, UCE and CAD; on the others of the same.
TABLE_1 = """
Cassette player   7.2  2.6 0.0 0.0  0.0 0.4 | 86.07 76.73 57.53 89.13 89.13 80.13
Chain saw        69.0  1.0 0.4 0.0  0.0 0.0 | 79.20 63.97 29.24 75.69 75.69 69.22
Church           76.2 21.0 3.6 1.2 15.2 1.6 | 78.40 65.00 65.24 80.50 80.20 73.49
English Springer 93.8  1.0 0.2 0.0  0.1 1.4 | 76.44 62.00 47.48 77.80 78.00 71.91
French horn      98.6  7.4 0.2 0.0  0.0 4.4 | 75.91 63.17 45.11 74.33 74.33 70.87
Garbage truck    85.6  1.4 0.0 0.0 15.6 3.8 | 77.36 65.62 47.36 65.40 77.51 63.69
Gas pump         79.0 36.8 0.0 0.0  0.0 0.2 | 78.09 68.28 48.58 79.02 79.02 67.69
Golf ball        95.8 28.6 0.2 0.0  0.6 4.2 | 76.22 65.55 48.90 79.00 78.78 73.27
Parachute        96.2 30.0 0.8 0.0  1.0 2.0 | 76.18 62.17 61.28 78.20 77.87 68.91
Tench            80.4  2.8 1.4 0.0  0.0 0.2 | 77.93 67.57 60.80 78.56 78.56 72.67
"""
METHODS_1 = ("unedited", "conceptprune", "esd", "rece", "uce", "cad")

# The same on SD 2.1, of the unedited model.
TABLE_9 = """
Cassette player  15.6 | 88.22
Chain saw        98.4 | 71.95
Church           90.6 | 79.88
English Springer 98.6 | 70.73
French horn      98.8 | 78.97
Garbage truck    84.0 | 80.62
Gas pump         90.0 | 79.95
Golf ball        93.8 | 79.53
Parachute        63.2 | 82.93
Tench            76.6 | 81.44
"""

Row = tuple[list[float], list[float]]


def rows_of(text: str) -> dict[str, Row]:
    """Each class's numbers: on itself, and on the others."""
    rows = {}
    for line in text.strip().splitlines():
        left, right = line[17:].split("|")
        rows[line[:17].strip()] = [float(x) for x in left.split()], [float(x) for x in right.split()]
    return rows


ERASED_1, ERASED_9 = rows_of(TABLE_1), rows_of(TABLE_9)


def breaks_the_identity(rows: dict[str, Row]) -> set[str]:
    """The classes whose unedited "others" is not the mean of the nine other classes' own accuracies."""
    total = sum(own[0] for own, _ in rows.values())
    return {name for name, (own, others) in rows.items() if abs((total - own[0]) / 9 - others[0]) > 0.01}


def test_the_unedited_columns_agree_but_for_two_cells() -> None:
    assert breaks_the_identity(ERASED_1) == set()
    assert breaks_the_identity(ERASED_9) == {"Chain saw", "English Springer"}


def test_half_of_the_column_of_rece_is_uces() -> None:
    rece, uce = METHODS_1.index("rece"), METHODS_1.index("uce")
    same = {name for name, (own, others) in ERASED_1.items() if (own[rece], others[rece]) == (own[uce], others[uce])}
    assert same == {"Cassette player", "Chain saw", "French horn", "Gas pump", "Tench"}


def tables() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("tables", BENCHMARKS / "tables.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_the_means_beside_our_numbers_are_the_papers() -> None:
    shown = tables().TABLE_1
    uces = {"Cassette player", "Chain saw", "French horn", "Gas pump", "Tench"}
    for name, (own, others) in shown.items():
        at = METHODS_1.index(name.split("-")[0])
        rows = [row for each, row in ERASED_1.items() if not (name == "rece" and each in uces)]
        assert sum(row[0][at] for row in rows) / len(rows) == pytest.approx(own, abs=0.051)
        assert sum(row[1][at] for row in rows) / len(rows) == pytest.approx(others, abs=0.051)
