"""NaN anywhere in what draws stops it, with the first module and the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import tiny_sd1

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.explain.maps import Maps
from turpentine.models import Model, sample
from turpentine.models.finite import Watch, check_scale

NAN = float("nan")


def broken(component: str, layer: str, value: float = NAN) -> Model:
    """A model with one layer of which a weight is no number."""
    pipeline = tiny_sd1()
    getattr(pipeline, component).get_parameter(f"{layer}.weight").data[0] = value
    return Model(pipeline)


def encoder_layer() -> str:
    names = [name for name, _ in tiny_sd1().text_encoder.named_modules()]
    return next(name for name in names if name.endswith("layers.1.mlp.fc1"))


@pytest.mark.parametrize("value", [NAN, math.inf])
def test_the_decoder_draws_no_black_picture(value: float) -> None:
    with pytest.raises(NotFinite, match=r"autoencoder gives NaN or infinity \(first in vae\.decoder\.conv_in\): load"):
        broken("vae", "decoder.conv_in", value).generate("a church", steps=1)


def test_the_denoiser_stops_in_its_step_and_names_the_layer() -> None:
    model = broken("unet", "mid_block.resnets.0.conv1")
    with pytest.raises(NotFinite, match=r"in step 1 of 3 \(first in unet\.mid_block\.resnets\.0\.conv1\): load"):
        model.generate("a church", steps=3)
    assert model.moment is None
    assert not any(module._forward_hooks for module in model.denoiser.modules())


def test_a_later_step_is_named_as_such(sd1: Model) -> None:
    steps = iter(range(9))

    def spoil(module: Any, args: Any, output: Any) -> Any:
        return output * (NAN if next(steps) == 2 else 1)

    handle = sd1.denoiser.conv_out.register_forward_hook(spoil)
    try:
        with pytest.raises(NotFinite, match=r"in step 3 of 4"):
            sd1.generate("a church", steps=4)
    finally:
        handle.remove()


def test_the_text_encoder_and_pictures_are_checked() -> None:
    layer = encoder_layer()
    with pytest.raises(NotFinite, match=rf"text encoder gives .* for 'a dog' .*\(first in text_encoder\.{layer}\)"):
        broken("text_encoder", layer).encode(["a dog"])
    with pytest.raises(NotFinite, match=r"for a picture \(first in vae\.encoder\.conv_in\)"):
        broken("vae", "encoder.conv_in").encode_image([Image.new("RGB", (32, 32))])
    with pytest.raises(NotFinite, match="latents hold NaN"):
        Model(tiny_sd1()).decode(torch.full((1, 4, 8, 8), NAN))


def test_maps_are_no_mass_of_nan() -> None:
    with pytest.raises(NotFinite, match="NaN"):
        Maps(words=("church",), steps=2)(broken("unet", "conv_in"), "a church", 0)


DRAWS: list[Callable[[Model, float], Any]] = [
    lambda model, scale: model.generate("a dog", steps=1, guidance_scale=scale),
    lambda model, scale: list(
        sample(model, model.encode([""]), model.encode([""]), model.noise([0]), steps=1, guidance_scale=scale)
    ),
]


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("scale", [NAN, math.inf, -math.inf])
def test_a_guidance_scale_is_a_number(sd1: Model, draw: Callable[[Model, float], Any], scale: float) -> None:
    with pytest.raises(BadArgument, match=r"A guidance scale cannot be|The guidance_scale is"):
        draw(sd1, scale)
    check_scale(-3.0)


def test_a_watch_on_a_device_looks_a_step_late_and_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, fine = torch.full((1, 4, 2, 2), NAN), torch.zeros(1, 4, 2, 2)
    seen: list[int] = []
    watch = Watch(lambda index, x: seen.append(index))
    for index, eps in enumerate((fine, bad, fine, bad)):
        watch.add(index, fine, eps)
    watch.finish()
    assert seen == [1, 3]
