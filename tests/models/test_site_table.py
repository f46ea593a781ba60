from pathlib import Path
from typing import Any

import polars as pl
import pytest

from turpentine.core.errors import BadArgument, NotFinite, UnknownName
from turpentine.models import Model
from turpentine.models.site_table import short_names, top_sites

MID = "unet.mid_block.attentions.0.transformer_blocks.0"


def _table(path: Path, **columns: Any) -> Path:
    frame = pl.DataFrame(columns)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ""])
def test_the_largest_scores_are_taken_in_order_of_execution(sd1: Model, tmp_path: Path, suffix: str) -> None:
    names = [f"{MID}.{part}" for part in ("ff", "attn1", "attn2")]
    path = _table(tmp_path / f"table{suffix}", head=[0, 0, 0], layer=names, alpha=[0.5, -3.0, 2.0])
    assert [site.name for site in top_sites(sd1.sites, path, 2)] == [names[2], names[0]]
    assert len(top_sites(sd1.sites, path, 9)) == 3


def test_rows_of_one_site_are_summed_and_weights_stand_for_their_layer(sd1: Model, tmp_path: Path) -> None:
    layers = [f"{MID}.attn2.to_k", f"{MID}.attn2.to_v", f"{MID}.attn2.to_q"]
    weights = [f"{layers[0]}.weight", f"{layers[1]}.weight", f"{layers[1]}.weight", layers[2]]
    path = _table(tmp_path / "t.csv", weight=weights, score=[3.0, 2.0, 2.0, 3.5])
    assert [site.name for site in top_sites(sd1.sites, path, 1)] == [layers[1]]
    assert {site.name for site in top_sites(sd1.sites, path, 2)} == {layers[1], layers[2]}


def test_attributions_of_heads_are_summed_and_of_other_scores_the_best_head_counts(sd1: Model, tmp_path: Path) -> None:
    one, two = f"{MID}.attn1", f"{MID}.attn2"
    rows = {"site": [one, one, two, two], "head": [0, 1, 0, 1]}
    numbers = [0.3, 0.3, 0.5, -0.4]
    alphas = _table(tmp_path / "alpha.parquet", **rows, alpha=numbers)
    silhouettes = _table(tmp_path / "score.parquet", **rows, score=numbers)
    assert [site.name for site in top_sites(sd1.sites, alphas, 1)] == [one]
    assert [site.name for site in top_sites(sd1.sites, silhouettes, 1)] == [two]


def test_a_label_is_all_its_modules(sd1: Model, tmp_path: Path) -> None:
    path = _table(tmp_path / "t.csv", site=["UP1", "MID", "DOWN1"], effect=[1, 5, None])
    top = top_sites(sd1.sites, path, 1)
    assert set(top) == set(sd1.sites.only(label="MID", level="module"))
    assert len(top_sites(sd1.sites, path, 3)) == 2 * len(top)


@pytest.mark.parametrize(
    ("columns", "error", "said"),
    [
        ({"site": ["MID"], "score": [float("nan")]}, NotFinite, "scores MID with nan"),
        ({"site": ["MID"], "score": ["much"]}, BadArgument, "text in its column score"),
        ({"site": ["MIDDLE"], "score": [1]}, UnknownName, "MIDDLE"),
        ({"site": [None], "score": [1]}, BadArgument, "no row"),
        (
            {"place": ["MID"], "score": [1]},
            BadArgument,
            "no column site or .* but place, score: take one of explain trace",
        ),
        ({"site": ["MID"], "weight_norm": [1]}, BadArgument, "no column score or"),
        ({"measure": ["update"], "site": ["MID"], "value": [1]}, BadArgument, "but measure, site, value: take one of"),
        (
            {"site": ["MID"], "ratio": [1]},
            BadArgument,
            "no table of scored sites, for it has no column score or .* ratio",
        ),
    ],
)
def test_bad_tables_are_refused(sd1: Model, tmp_path: Path, columns: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        top_sites(sd1.sites, _table(tmp_path / "t.csv", **columns), 3)


def test_what_is_no_table_is_refused(sd1: Model, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00" * 9)
    for path in (tmp_path / "t.parquet", tmp_path / "t.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadArgument, match="table"):
            top_sites(sd1.sites, path, 3)
    with pytest.raises(BadArgument, match="top 0"):
        top_sites(sd1.sites, tmp_path / "none.csv", 0)


def test_sites_are_called_by_label_or_by_number_within_their_kind() -> None:
    kinds, labels = ["resnet", "self-attention", "resnet", "text-mlp"], ["", "UP1", "", ""]
    table = pl.DataFrame({"site": list("abcd"), "kind": kinds, "label": labels})
    assert short_names(table) == {"a": "1", "b": "UP1", "c": "2", "d": "1"}
