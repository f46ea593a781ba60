import json

import pytest
from tiny import tiny_sd1

from turpentine.models import Model, is_small


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unet").mkdir()
    return tmp_path


def widths(folder, *channels):
    (folder / "unet" / "config.json").write_text(json.dumps({"block_out_channels": channels}))
    return str(folder)


def test_a_model_and_the_folder_it_came_from_are_of_one_size(sd1, tmp_path):
    sd1.pipeline.unet.save_config(tmp_path / "unet")
    assert is_small(sd1) and is_small(tmp_path) and is_small(str(tmp_path))


def test_one_wide_level_is_enough_for_a_full_size(folder):
    assert is_small(widths(folder, 64, 96, 160, 319))
    assert not is_small(widths(folder, 64, 320))
    pipeline = tiny_sd1()
    pipeline.unet.register_to_config(block_out_channels=(320, 640, 1280, 1280))
    assert not is_small(Model(pipeline))


def test_what_is_not_here_is_known_by_its_name_only(folder):
    assert is_small("emoji")
    for source in ("CompVis/stable-diffusion-v1-4", "model.safetensors", "", str(folder)):
        assert not is_small(source)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"block_out_channels": null}', '{"block_out_channels": []}'])
def test_a_config_that_says_nothing_is_no_error_here(folder, text):
    (folder / "unet" / "config.json").write_text(text)
    assert not is_small(folder)
