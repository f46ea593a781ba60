from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from turpentine.bench import Ledger
from turpentine.runs.ledger import LedgerError

PART = pl.DataFrame({"prompt": ["a"], "png": [b"\x00"]})


def test_a_part_is_kept_under_its_key_and_replaced(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger")
    assert ledger.get("one") is None
    assert list(ledger) == []
    ledger.put("one", PART)
    ledger.put("two", PART)
    ledger.put("one", PART.head(0))
    assert list(Ledger(tmp_path / "deep" / "ledger")) == ["one", "two"]
    assert "one" in ledger
    assert "three" not in ledger
    found = ledger.get("two")
    assert found is not None
    assert found.equals(PART)
    assert ledger.get("one").is_empty()  # type: ignore[union-attr]


def test_a_part_half_written_when_the_run_was_killed_is_not_there(tmp_path: Path) -> None:
    (tmp_path / ".part-xyz.parquet").write_bytes(b"PAR1")
    assert list(Ledger(tmp_path)) == []


def test_a_damaged_part_is_one_clear_sentence(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.put("one", PART)
    path = tmp_path / "one.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LedgerError, match=r"one\.parquet is damaged"):
        ledger.get("one")


def test_a_folder_whose_name_reads_as_a_pattern_is_a_folder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a[1]")
    ledger.put("one", PART)
    found = ledger.get("one")
    assert found is not None and found.equals(PART)
    assert ledger.gather(["one", "one"]).equals(pl.concat([PART, PART]))


@pytest.mark.parametrize("at_once", [1000, 2, 1])
def test_many_parts_come_in_the_keys_order_however_many_are_read_at_once(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.runs.ledger._AT_ONCE", at_once)
    ledger = Ledger(tmp_path)
    for number in range(5):
        ledger.put(str(number), pl.DataFrame({"number": [number, number]}))
    assert ledger.gather(["3", "0", "4", "1", "2"])["number"].to_list() == [3, 3, 0, 0, 4, 4, 1, 1, 2, 2]


@pytest.mark.parametrize("at_once", [1000, 1])
def test_parts_of_other_columns_are_one_clear_sentence(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.runs.ledger._AT_ONCE", at_once)
    ledger = Ledger(tmp_path)
    ledger.put("one", PART)
    for name, other in (("two", PART.rename({"png": "image"})), ("three", PART.with_columns(pl.lit(1).alias("png")))):
        ledger.put(name, other)
        with pytest.raises(LedgerError, match=rf"one\.parquet and .*{name}\.parquet have different columns"):
            ledger.gather(["one", name])


def test_a_part_without_a_column_that_it_must_have_is_of_another_version(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, ["prompt", "seed"])
    ledger.put("one", PART)
    for read in (lambda: ledger.get("one"), lambda: ledger.gather(["one"])):
        with pytest.raises(LedgerError, match=r"one\.parquet has no seed, so another version wrote it: remove it"):
            read()
