"""What every family keeps, on a tiny model of each: the conformance tests for a family that comes new."""

from __future__ import annotations

import sys
from subprocess import run
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderTiny
from transformers import BertConfig, BertModel

from turpentine.core.errors import UnsupportedModel
from turpentine.models import DENOISER, Model, hooked, load, sample
from turpentine.models.families import FAMILIES, Family, family_of, module_of
from turpentine.models.families.original_names import renamed
from turpentine.models.families.schedule import Parametrisation, Schedule
from turpentine.models.families.sdxl import SDXL
from turpentine.models.families.stable_diffusion import StableDiffusion
from turpentine.testing.toys import TOYS

KINDS = {"sd1": StableDiffusion, "sd2": StableDiffusion, "sdxl": SDXL}


@pytest.fixture(params=TOYS)
def model(request: pytest.FixtureRequest) -> Model:
    """Of each family, shared."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def family(model: Model) -> Family:
    return model.family


@pytest.mark.parametrize("name", TOYS)
def test_a_pipeline_is_of_one_family(name: str, request: pytest.FixtureRequest) -> None:
    pipeline = request.getfixturevalue(name).pipeline
    assert [kind for kind in FAMILIES if kind.fits(pipeline)] == [KINDS[name]]
    assert type(family_of(pipeline)) is KINDS[name]
    assert type(pipeline).__name__ == KINDS[name].pipeline_class


def test_another_pipeline_is_refused_by_its_name() -> None:
    with pytest.raises(UnsupportedModel, match="SimpleNamespace is of no known family"):
        family_of(SimpleNamespace(unet=torch.nn.Linear(1, 1), text_encoder=torch.nn.Linear(1, 1)))
    with pytest.raises(UnsupportedModel, match="no known family"):
        family_of(SimpleNamespace())


def _bert() -> BertModel:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=200, **small))


PARTS = {
    "another text encoder": ("text_encoder", _bert, "The text encoder is a BertModel: Turpentine reads CLIP's alone."),
    "a tiny autoencoder": ("vae", AutoencoderTiny, "The autoencoder is a AutoencoderTiny, which has no distribution"),
    "no autoencoder": ("vae", lambda: None, "has no autoencoder: Turpentine works on models of latents"),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_part_that_only_looks_the_same_is_refused_by_name(case: str, sd1: Model) -> None:
    name, make, sentence = PARTS[case]
    parts = {key: getattr(sd1.pipeline, key) for key in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    with pytest.raises(UnsupportedModel, match=sentence):
        family_of(SimpleNamespace(**parts | {name: make()}))


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_part_in_the_place_of_a_pipeline_says_what_to_give(name: str, sd1: Model) -> None:
    with pytest.raises(UnsupportedModel, match="is a part of a pipeline: give the whole pipeline"):
        load(getattr(sd1.pipeline, name))


def test_detection_imports_no_network_of_diffusers() -> None:
    code = "import sys, turpentine.models; print([m for m in sys.modules if m.startswith('diffusers.')])"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_its_parts_are_named_once_and_are_there(model: Model, family: Family) -> None:
    assert set(family.components) == set(family.component_names)
    assert family.components[family.denoiser_name] is family.denoiser is model.denoiser
    assert set(family.text_encoder_names.values()) < set(family.component_names)
    assert set(family.identity_keys) == {*family.component_names, "scheduler"}
    for part, keys in family.identity_keys.items():
        assert all(hasattr(getattr(model.pipeline, part).config, key) for key in keys)


def test_sites_are_of_the_components_that_read_prompts_and_of_the_denoiser(model: Model, family: Family) -> None:
    assert (
        {site.component for site in model.sites}
        == {DENOISER, *family.tokenizers}
        == {
            DENOISER,
            *family.text_encoder_names,
        }
    )
    for site in model.sites:
        part = site.name.partition(".")[0]
        names = {DENOISER: family.denoiser_name, **family.text_encoder_names}
        assert part == names[site.component]
        assert all(family.inside_denoiser(name) == (site.component == DENOISER) for name in site.parameters)


def test_every_cross_attention_has_one_layer_of_each_role(model: Model) -> None:
    modules = model.sites.only(kind="cross-attention", level="module")
    for role in ("query", "key", "value", "output"):
        layers = model.sites.only(kind="cross-attention", level="layer", role=role)
        assert [module_of(site.parameters[0]) for site in layers] == [site.name for site in modules]
    assert {site.role for site in model.sites.only(kind=("resnet", "feed-forward", "norm"))} == {""}


def test_its_schedule_and_parametrisation_agree(model: Model, family: Family) -> None:
    assert isinstance(family.schedule, Schedule)
    assert isinstance(family.parametrisation, Parametrisation)
    x, cond = model.noise([0, 1]), model.encode(["a dog", "a cat"])
    with torch.no_grad():
        output = family.predict(x, torch.tensor(300), cond, {}).to(x.dtype)
    eps, x0 = (part(output, x, 300) for part in (family.parametrisation.eps, family.parametrisation.x0))
    torch.testing.assert_close(family.schedule.add_noise(x0, eps, 300), x)
    assert torch.equal(eps, model.eps(x, 300, cond).detach())


def test_another_schedule_of_the_pipeline_is_the_familys(sd1: Model) -> None:
    before = sd1.pipeline.scheduler
    try:
        sd1.pipeline.scheduler = type(before).from_config(before.config, beta_end=0.02)
        assert torch.equal(sd1.schedule.alpha_bar(999), sd1.pipeline.scheduler.alphas_cumprod[999])
    finally:
        sd1.pipeline.scheduler = before
    assert torch.equal(sd1.schedule.alpha_bar(999), before.alphas_cumprod[999])


def test_another_text_changes_the_call_it_is_put_before_and_no_other_row(model: Model) -> None:
    other, first = model.encode(["a red fish"]), next(iter(model.sites.only(kind="cross-attention", level="module")))
    calls = []

    def change(call):
        args, kwargs = model.family.with_text(call, other)
        calls.append((call, kwargs))
        return args, kwargs

    run_ = model.encode(["a church"]), model.encode([""]), model.noise([0])
    with hooked(model, {}, before={first: change}):
        list(sample(model, *run_, steps=1, guidance_scale=4.0))
    ((call, kwargs),) = calls
    (old,), (new,) = ([v for v in values.values() if isinstance(v, torch.Tensor)] for values in (call.kwargs, kwargs))
    assert torch.equal(new[1], other.hidden[0]) and not torch.equal(old[1], new[1])
    assert torch.equal(new[0], old[0])


def test_times_are_embedded_as_the_denoiser_embeds_them(model: Model) -> None:
    site = next(iter(model.sites.only(kind="time", level="module", name="*.time_embedding")))
    given = []
    with hooked(model, {site: lambda call: given.append(call.tensor)}), torch.no_grad():
        model.eps(model.noise([0]), 250, model.encode([""]))
    torch.testing.assert_close(model.family.embed_time(torch.tensor([250.0])), given[0])


def test_a_block_to_look_into_is_there(model: Model) -> None:
    label = model.family.example_block()
    assert len(model.sites.only(kind=("self-attention", "cross-attention"), level="module", label=label)) == 2


def test_pixels_and_latents_have_the_specs_shape(model: Model, family: Family) -> None:
    height, width = model.size
    latents = model.noise([0])
    assert latents.shape == (1, family.latent.channels, height // family.latent.factor, width // family.latent.factor)
    with torch.no_grad():
        pixels = family.pixels(latents)
        assert pixels.shape == (1, 3, height, width)
        assert family.latents(pixels).shape == latents.shape


def test_every_weight_of_the_denoiser_has_an_original_name_of_its_own(family: Family) -> None:
    names = [name for name, _ in family.denoiser.named_parameters()]
    assert len({renamed(name, family.original_names()) for name in names}) == len(names)
