"""What an edit's file gives away, against numbers that a few lines of numpy give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from turpentine.attack.leak import leak_of
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, WrongBase
from turpentine.edits import Edit, Provenance
from turpentine.edits.zeroed import Zeroed
from turpentine.erase.guidance import SLD
from turpentine.models import Model
from turpentine.testing.toys import tiny_sd1

BLOCK = "unet.mid_block.attentions.0.transformer_blocks.0.attn2"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_sd1(whole=True))


def weight(model: Model, name: str) -> Any:
    return model.parameter(name).detach().numpy()


def zeroing(model: Model, name: str, count: int) -> Zeroed:
    return Zeroed(tuple(model.parameter(name).shape), torch.arange(count))


def test_a_change_of_two_directions_has_rank_2_and_its_norm(model: Model) -> None:
    name = f"{BLOCK}.to_k.weight"
    dice = torch.Generator().manual_seed(0)
    rows, columns = model.parameter(name).shape
    delta = torch.randn(rows, 2, generator=dice) @ torch.randn(2, columns, generator=dice)
    leak = leak_of(Edit({name: delta, f"{BLOCK}.to_out.0.bias": torch.ones(32)}))
    first, second = leak.table.rows(named=True)
    assert (first["site"], first["rank"], first["full_rank"]) == (f"{BLOCK}.to_k", 2, min(rows, columns))
    assert first["norm"] == pytest.approx(np.linalg.norm(delta.numpy()))
    assert second["rank"] is None and second["norm"] == pytest.approx(np.sqrt(32))
    assert first["relative"] is None and leak.sites_in_all == 0


def test_positions_that_become_0_are_counted_and_with_the_model_measured(model: Model) -> None:
    name = f"{BLOCK}.to_v.weight"
    edit = Edit(zeroed={name: zeroing(model, name, 10)})
    (alone,) = leak_of(edit).table.rows(named=True)
    size = weight(model, name).size
    assert (alone["zeros"], alone["zero_share"], alone["norm"], alone["rank"]) == (10, 10 / size, 0.0, None)
    (beside,) = leak_of(edit, model).table.rows(named=True)
    lost = weight(model, name).flatten()[:10]
    assert beside["norm"] == pytest.approx(np.linalg.norm(lost))
    assert beside["relative"] == pytest.approx(np.linalg.norm(lost) / np.linalg.norm(weight(model, name)))
    assert beside["rank"] == 1  # all in the first row
    assert not len(model.edits)


def test_it_names_the_fewest_sites_that_hold_nine_tenths(model: Model) -> None:
    names = [f"{BLOCK}.to_{part}.weight" for part in ("q", "k", "v")]
    edit = Edit(
        {name: torch.full_like(model.parameter(name), size) for name, size in zip(names, (1, 9, 2), strict=True)}
    )
    leak = leak_of(edit, model)
    assert leak.sites_of_most == [f"{BLOCK}.to_k"]
    assert (
        "the 3 sites of" in leak.summary()
        and f"1 of them holds 90 % of the change, first {BLOCK}.to_k" in leak.summary()
    )
    assert leak.table["site"].to_list() == [f"{BLOCK}.to_{part}" for part in ("q", "k", "v")]
    zeros = Edit(zeroed={name: zeroing(model, name, count) for name, count in zip(names, (1, 2, 97), strict=True)})
    assert leak_of(zeros).sites_of_most == [f"{BLOCK}.to_v"]


def test_it_shows_itself(model: Model, tmp_path: Any) -> None:
    name = f"{BLOCK}.to_v.weight"
    leak = leak_of(Edit({f"{BLOCK}.to_k.weight": torch.ones(32, 16)}, zeroed={name: zeroing(model, name, 16)}))
    assert "16 of the 1,024 weights there (1.56 %) become exactly 0" in leak.summary()
    assert "In 1 site the change has rank 1" in leak.summary()
    assert leak.numbers()["largest_rank"] == 1 and leak.numbers()["zeros"] == 16
    assert leak.plot().axes[0].get_xlabel() == "‖ΔW‖"
    leak.save(tmp_path / "leak.parquet")


def test_a_guidance_has_no_place_and_an_edit_of_another_base_is_refused(model: Model) -> None:
    guidance: Any = SLD()(model, Concept("church"))
    with pytest.raises(BadArgument, match="changes no weight"):
        leak_of(guidance)
    foreign = Edit({"unet.conv_in.bias": torch.ones(8)}, Provenance(base="0" * 64))
    with pytest.raises(WrongBase):
        leak_of(foreign, model)
