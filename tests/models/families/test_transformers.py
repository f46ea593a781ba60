"""What every family keeps whose denoiser is a transformer, on its toy: one that comes new is held by its line there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.families.holds import an_edit_that_is_off_is_none, it_loads_from_a_folder, vectors_are_read

from turpentine.models import Model, sample
from turpentine.testing.toys import TRANSFORMERS, toy

TITLES = {
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX.1",
    "flux2": "FLUX.2 klein",
    "flux2-dev": "FLUX.2 dev",
    "pixart": "PixArt-Σ",
    "sana": "SANA",
    "qwen": "Qwen-Image",
    "z": "Z-Image",
}


@pytest.fixture(scope="module", params=TRANSFORMERS)
def model(request: pytest.FixtureRequest) -> Model:
    """Shared, so leave it as it was."""
    return toy(request.param)


def run(model: Model) -> torch.Tensor:
    """Of a size of its own, since Qwen-Image's native one is in no config."""
    cond, empty = (model.encode(texts, size=32) for texts in (["a church", "a red dog and a cat"], [""]))
    *_, last = sample(model, cond, empty, model.noise([0, 1], size=32), steps=2, guidance_scale=4.0)
    return last.x_next


def test_vectors_in_the_place_of_tokens_are_read(model: Model) -> None:
    vectors_are_read(model, "a red church", "a blue dog")


def test_the_empty_prompt_is_the_same_beside_others(model: Model) -> None:
    alone, beside = model.encode([""]), model.encode(["a red dog and a cat", ""])
    torch.testing.assert_close(beside.hidden[1:], alone.hidden, atol=1e-5, rtol=1e-4)
    for name in ("pooled", "mask"):
        one, two = getattr(alone, name), getattr(beside, name)
        assert one is None or torch.allclose(two[1:], one, atol=1e-5)


def test_an_edit_that_is_off_is_none(model: Model) -> None:
    an_edit_that_is_off_is_none(model, run)


def test_it_loads_from_a_folder_in_diffusers_layout(model: Model, tmp_path: Path) -> None:
    it_loads_from_a_folder(model, TITLES[model.name], tmp_path, run)
