import pytest
import torch
from tiny import tiny_sd1, tiny_sd2_v

from turpentine.models import Model, load


def test_equal_models_have_one_and_others_another(sd1, sd2):
    assert Model(tiny_sd1()).fingerprint == sd1.fingerprint
    assert Model(tiny_sd2_v()).fingerprint == sd2.fingerprint != sd1.fingerprint
    assert len(sd1.fingerprint) == 64


def test_files_in_half_precision_have_one_in_either(tmp_path):
    tiny_sd1().to(dtype=torch.float16).save_pretrained(tmp_path)
    half, full = (load(tmp_path, dtype=dtype) for dtype in (torch.float16, torch.float32))
    assert half.dtype == torch.float16
    assert full.dtype == torch.float32
    assert half.fingerprint == full.fingerprint


def test_files_in_full_precision_have_one_in_either(sd1, tmp_path):
    tiny_sd1().save_pretrained(tmp_path)
    assert load(tmp_path, dtype=torch.float16).fingerprint == load(tmp_path).fingerprint == sd1.fingerprint


def test_bf16_has_the_one_of_the_files(sd1, tmp_path):
    tiny_sd1().save_pretrained(tmp_path)
    model = load(tmp_path, dtype=torch.bfloat16)
    assert {weight.dtype for part in model.components.values() for weight in part.parameters()} == {torch.bfloat16}
    assert model.fingerprint == sd1.fingerprint
    assert load(tiny_sd1(), dtype=torch.bfloat16).fingerprint == sd1.fingerprint


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_one_weight_changes_it(sd1, component):
    model = Model(tiny_sd1())
    next(model.components[component].parameters()).data.view(-1)[0] += 1
    assert model.fingerprint != sd1.fingerprint


def test_a_config_changes_it(sd1):
    pipeline = tiny_sd1()
    pipeline.vae.register_to_config(scaling_factor=0.6)
    assert Model(pipeline).fingerprint != sd1.fingerprint


def test_it_is_kept():
    model = Model(tiny_sd1())
    before = model.fingerprint
    model.parameter("unet.conv_in.bias").data += 1
    assert model.fingerprint == before
