from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from turpentine.core.parts import DamagedPart
from turpentine.runs.ledger import Ledger, LedgerError, LostPart, until_whole

PART = pl.DataFrame({"prompt": ["a"], "png": [b"\x00"]})


def test_a_part_is_kept_under_its_key_and_replaced(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger", "draws")
    assert ledger.get("one") is None
    assert ledger.present(["one", "two"]) == set()
    ledger.put("one", PART)
    ledger.put("two", PART)
    ledger.put("one", PART.head(0))
    assert Ledger(tmp_path / "deep" / "ledger", "draws").present(["one", "two", "three"]) == {"one", "two"}
    assert "one" in ledger
    assert "three" not in ledger
    found = ledger.get("two")
    assert found is not None
    assert found.equals(PART)
    assert ledger.get("one").is_empty()  # type: ignore[union-attr]


def test_a_damaged_part_is_lost_with_one_warning_and_a_way_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "draws")
    for key in ("one", "two"):
        ledger.put(key, PART)
    path = ledger.path("one")
    path.write_bytes(path.read_bytes()[:-9])
    with (
        pytest.warns(DamagedPart, match=f"{path.name} is damaged: it is computed anew"),
        pytest.raises(LostPart, match=f"{path.name} is missing: run again"),
    ):
        ledger.gather(["two", "one"])
    assert not path.exists()


def test_what_was_lost_is_worked_for_again(tmp_path: Path) -> None:
    ledger, worked = Ledger(tmp_path, "draws"), []

    def work() -> None:
        worked.append(ledger.present(["one"]))
        ledger.part("one", lambda: PART)

    work()
    ledger.path("one").write_bytes(b"PAR1")

    def idle_once() -> None:
        if len(worked) > 1 or ledger.get("two") is not None:
            work()
        ledger.put("two", PART)

    with pytest.warns(DamagedPart):
        assert until_whole(idle_once, lambda: ledger.gather(["one"])).equals(PART)
    assert worked == [set(), set()]
    with pytest.raises(LostPart):
        until_whole(lambda: None, lambda: ledger.gather(["three"]))


def test_a_folder_whose_name_reads_as_a_pattern_is_a_folder(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a[1]", "draws")
    ledger.put("one", PART)
    found = ledger.get("one")
    assert found is not None and found.equals(PART)
    assert ledger.gather(["one", "one"]).equals(pl.concat([PART, PART]))


@pytest.mark.parametrize("at_once", [1000, 2, 1])
def test_many_parts_come_in_the_keys_order_however_many_are_read_at_once(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.runs.ledger._AT_ONCE", at_once)
    ledger = Ledger(tmp_path, "draws")
    for number in range(5):
        ledger.put(str(number), pl.DataFrame({"number": [number, number]}))
    assert ledger.gather(["3", "0", "4", "1", "2"])["number"].to_list() == [3, 3, 0, 0, 4, 4, 1, 1, 2, 2]


@pytest.mark.parametrize("at_once", [1000, 1])
def test_parts_of_other_columns_are_one_clear_sentence(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.runs.ledger._AT_ONCE", at_once)
    ledger = Ledger(tmp_path, "draws")
    ledger.put("one", PART)
    for name, other in (("two", PART.rename({"png": "image"})), ("three", PART.with_columns(pl.lit(1).alias("png")))):
        ledger.put(name, other)
        names = (ledger.path(key).name for key in ("one", name))
        with pytest.raises(LedgerError, match=" and .*".join(names) + " have different columns"):
            ledger.gather(["one", name])


def test_a_part_of_another_version_has_another_key(tmp_path: Path) -> None:
    Ledger(tmp_path, ["draws", ["prompt"]]).put("one", PART)
    assert Ledger(tmp_path, ["draws", ["prompt", "seed"]]).get("one") is None
