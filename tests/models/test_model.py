from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from PIL import Image
from tiny import tiny_sd1

from turpentine.core.errors import BadArgument, UnknownName, UnsupportedModel
from turpentine.models import Model, count_rows
from turpentine.models.families.schedule import Betas, Velocity


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_eps_is_what_an_eps_network_says(family, request):
    model = request.getfixturevalue(family)
    x, cond = model.noise([0, 1]), model.encode(["a dog", "a cat"])
    added = {"text_embeds": cond.pooled, "time_ids": cond.time_ids} if cond.pooled is not None else None
    with torch.no_grad():
        expected = model.denoiser(x, 300, encoder_hidden_states=cond.hidden, added_cond_kwargs=added).sample
        assert torch.equal(model.eps(x, 300, cond), expected)


def test_eps_of_a_v_network_is_v_by_algebra(sd2):
    x, cond, t = sd2.noise([0, 1]), sd2.encode(["a dog", "a cat"]), torch.tensor([900, 20])
    with torch.no_grad():
        v = sd2.denoiser(x, t, encoder_hidden_states=cond.hidden).sample
        eps = sd2.eps(x, t, cond)
    a = sd2.pipeline.scheduler.alphas_cumprod[t].reshape(-1, 1, 1, 1)
    x0 = a.sqrt() * x - (1 - a).sqrt() * v
    torch.testing.assert_close(a.sqrt() * x0 + (1 - a).sqrt() * eps, x)
    torch.testing.assert_close(a.sqrt() * eps - (1 - a).sqrt() * x0, v)


def test_eps_from_v_recovers_the_noise():
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(3, 4, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    alpha_bar = torch.tensor([0.999, 0.5, 1e-6])
    a = alpha_bar.double().reshape(-1, 1, 1, 1)
    x, v = a.sqrt() * x0 + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x0
    velocity = Velocity(Betas(SimpleNamespace(alphas_cumprod=alpha_bar)))
    torch.testing.assert_close(velocity.eps(v, x, torch.arange(3)), noise)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_each_row_of_eps_is_its_own(family, request):
    model = request.getfixturevalue(family)
    x, cond, t = model.noise([0, 1, 2]), model.encode(["a dog", "a cat", ""]), torch.tensor([1, 500, 999])
    with torch.no_grad():
        together = model.eps(x, t, cond)
        for row in range(3):
            torch.testing.assert_close(model.eps(x[row : row + 1], int(t[row]), cond[row])[0], together[row])


def test_eps_with_stand_ins_leaves_the_weights_and_gives_them_gradients(sd1):
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    x, cond, original = sd1.noise([0]), sd1.encode(["a dog"]), sd1.parameter(name).clone()
    stand_in = (original * 3).requires_grad_()
    changed = sd1.eps(x, 500, cond, parameters={name: stand_in})
    changed.square().sum().backward()
    assert stand_in.grad is not None and stand_in.grad.abs().sum() > 0
    assert torch.equal(sd1.parameter(name), original)
    assert not torch.equal(changed, sd1.eps(x, 500, cond))
    assert torch.equal(sd1.eps(x, 500, cond, parameters={name: original}), sd1.eps(x, 500, cond))


def test_stand_ins_outside_the_denoiser_are_refused(sd1):
    with pytest.raises(UnknownName, match="vae"):
        sd1.eps(sd1.noise([0]), 500, sd1.encode([""]), parameters={"vae.decoder.conv_in.bias": torch.zeros(8)})


def test_a_half_precision_model_takes_and_gives_fp32():
    model = Model(tiny_sd1().to(dtype=torch.bfloat16))
    eps = model.eps(model.noise([0]), 500, model.encode(["a dog"]))
    assert eps.dtype == torch.float32
    assert model.dtype == torch.bfloat16
    assert len(model.decode(eps)) == 1


def test_shapes_are_checked_while_tests_run(sd1):
    with pytest.raises(TypeCheckError):
        sd1.eps(torch.zeros(4, 8, 8), 500, sd1.encode([""]))


def test_noise_depends_on_its_seed_only(sd1):
    one = sd1.noise([5])
    assert torch.equal(sd1.noise([3, 5, 7])[1:2], one)
    assert not torch.equal(sd1.noise([6]), one)
    expected = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(one, expected)


def test_noise_of_another_size(sd1):
    assert sd1.noise([0], size=64).shape == (1, 4, 16, 16)
    assert sd1.noise([0], size=(32, 48)).shape == (1, 4, 8, 12)
    with pytest.raises(BadArgument, match="multiples of 4"):
        sd1.noise([0], size=33)


def test_the_decoder_sees_as_many_pictures_at_a_time_as_memory_is_meant_for(sd1, monkeypatch):
    latents, seen = sd1.noise(range(5)), []
    whole = sd1.decode(latents)
    monkeypatch.setattr("turpentine.models.images.DECODED_AT_ONCE", 2 * latents[0, 0].numel() + 1)
    watching = sd1.vae.decoder.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    parts = sd1.decode(latents)
    watching.remove()
    assert seen == [2, 2, 1]
    assert np.abs(np.stack(parts).astype(int) - np.stack(whole)).max() <= 1


def test_decode_agrees_with_the_pipeline(sd1):
    latents = sd1.noise([0, 1])
    with torch.no_grad():
        pixels = sd1.vae.decode(latents / sd1.vae.config.scaling_factor).sample
    expected = sd1.pipeline.image_processor.postprocess(pixels)
    for ours, theirs in zip(sd1.decode(latents), expected, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_encode_image_is_the_scaled_mode(sd1):
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "navy")]
    latents = sd1.encode_image(pictures)
    with torch.no_grad():
        pixels = sd1.pipeline.image_processor.preprocess(pictures)
        expected = sd1.vae.encode(pixels).latent_dist.mode() * 0.5
    torch.testing.assert_close(latents, expected)
    assert torch.equal(latents, sd1.encode_image(pictures))


def test_pictures_of_two_sizes_are_refused(sd1):
    with pytest.raises(BadArgument, match="2 sizes"):
        sd1.encode_image([Image.new("RGB", (32, 32)), Image.new("RGB", (32, 64))])


def test_parts_by_name(sd1):
    name = "text_encoder.encoder.layers.0.self_attn.out_proj"
    assert sd1.parameter(f"{name}.weight") is sd1.pipeline.text_encoder.encoder.layers[0].self_attn.out_proj.weight
    assert sd1.module(name) is sd1.pipeline.text_encoder.encoder.layers[0].self_attn.out_proj
    for site in sd1.sites:
        sd1.module(site.name)
    for parameter in sd1.sites.parameters():
        sd1.parameter(parameter)


@pytest.mark.parametrize("name", ["unet.no.such", "paint", "unet", "text_encoder_2.weight"])
def test_a_part_that_is_not_there_is_an_error(sd1, name):
    with pytest.raises(UnknownName, match=name):
        sd1.parameter(name)


def test_a_model_collects_no_gradients_and_drops_nothing_out(sd1):
    for component in sd1.components.values():
        assert not component.training
        assert not any(weight.requires_grad for weight in component.parameters())


def test_inpainting_models_are_refused():
    pipeline = tiny_sd1()
    pipeline.unet.register_to_config(in_channels=9)
    with pytest.raises(UnsupportedModel, match="9 channels"):
        Model(pipeline)


def test_other_predictions_are_refused():
    pipeline = tiny_sd1()
    pipeline.scheduler.register_to_config(prediction_type="sample")
    with pytest.raises(UnsupportedModel, match="'sample'"):
        Model(pipeline)


def test_describe_and_repr(sd2):
    facts = sd2.describe()
    assert (facts["prediction"], facts["picture"], facts["tokens"]) == ("v_prediction", "32 x 32", 16)
    assert repr(sd2) == "Model('StableDiffusionPipeline', cpu, float32)"


def test_rows_are_counted(sd1):
    x, cond = sd1.noise([0, 1]), sd1.encode(["", "a dog"])
    with count_rows(sd1) as count:
        sd1.eps(x, 1, cond)
        with torch.no_grad():
            sd1.eps(x[:1], 1, cond[0])
    sd1.eps(x, 1, cond)
    assert (count.calls, count.rows, count.grad_rows) == (2, 3, 2)
