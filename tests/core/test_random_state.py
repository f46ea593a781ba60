"""No public call moves the global random states; the contracts try every method, instrument and judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import turpentine as tp
from turpentine.concepts import Concept
from turpentine.core.random_state import random_states
from turpentine.edits import LoRA, save_single_file


def test_loading_drawing_editing_and_saving_leave_them_alone(tmp_path: Path) -> None:
    before = random_states()
    model = tp.load(device="cpu")
    edit = tp.erase.UCE()(model, Concept("church"))
    with edit.on(model):
        model.generate("a church", steps=1)
        model.save_pretrained(tmp_path / "folder")
        save_single_file(model, tmp_path / "file.safetensors")
    LoRA.from_edits(model, [edit], rank=2)
    tp.load(tmp_path / "folder", device="cpu").to("float16")
    tp.load(tmp_path / "file.safetensors", config=tmp_path / "folder", device="cpu")
    tp.amplify.CADAmplify(pictures=1, draws=1, source="world")(model, Concept("dog"))
    assert random_states() == before


def test_a_draw_is_noticed() -> None:
    for draw in (lambda: torch.rand(1), lambda: np.random.rand()):
        before = random_states()
        draw()
        assert random_states() != before
