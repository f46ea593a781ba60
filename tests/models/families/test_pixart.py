"""PixArt against diffusers' own pipelines, and cross-attention in a transformer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import PixArtTransformer2DModel

from turpentine.core.errors import UnsupportedModel
from turpentine.explain.maps import Maps
from turpentine.models import DENOISER, Model, hooked, sample, swap
from turpentine.models.families.pixart import PixArtAlpha, PixArtSigma
from turpentine.models.families.transformer import latent_of
from turpentine.models.families.transformer_sites import walk_cross
from turpentine.models.families.walk import sites_on
from turpentine.testing.toys import tiny_pixart, toy

PROMPTS = ["a Church", "a red dog and a cat on blue "]
MAKERS: dict[str, Any] = {
    "sigma": lambda: toy("pixart"),
    "alpha": lambda: Model(tiny_pixart(alpha=True)),
    "alpha with sizes": lambda: Model(tiny_pixart(alpha=True, sample_size=128)),
}


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """Shared, so leave them as they were."""
    made = {name: make() for name, make in MAKERS.items()}
    for model in made.values():
        model.pipeline.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def sigma(models: dict[str, Model]) -> Model:
    return models["sigma"]


@pytest.mark.parametrize("name", MAKERS)
def test_steps_and_texts_are_those_of_the_pipeline(models: dict[str, Model], name: str) -> None:
    """With its guidance of 4.5, the mask, and where the network reads it the size."""
    model = models[name]
    assert type(model.family) is (PixArtSigma if name == "sigma" else PixArtAlpha)
    x, size = model.noise([0, 1], size=(16, 32)), {"height": 16, "width": 32, "use_resolution_binning": False}
    how: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 4.5, "clean_caption": False}
    theirs = model.pipeline(PROMPTS, latents=x, output_type="latent", **size, **how).images
    cond, uncond = model.encode(PROMPTS), model.encode([""])
    *_, last = sample(model, cond, uncond, x, steps=3, guidance_scale=4.5, solver="dpm")
    torch.testing.assert_close(last.x_next, theirs, atol=1e-5, rtol=1e-5)
    hidden, mask, empty, empty_mask = model.pipeline.encode_prompt(PROMPTS, True, clean_caption=False)
    assert torch.equal(cond.hidden, hidden) and torch.equal(cond.mask, mask)
    assert torch.equal(uncond.hidden, empty[:1]) and torch.equal(uncond.mask, empty_mask[:1])


def test_the_table_of_sites(sigma: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name.removeprefix("transformer"))
        for site in sigma.sites.only(component=DENOISER, level="layer")
    ]
    block = ".transformer_blocks.0"
    assert [each[1:] for each in table if each[0] == "BLOCK1"] == [
        ("modulation", "", block),
        *(("self-attention", role, f"{block}.attn1.{leaf}") for role, leaf in LEAVES),
        *(("cross-attention", role, f"{block}.attn2.{leaf}") for role, leaf in LEAVES),
        ("feed-forward", "", f"{block}.ff.net.0.proj"),
        ("feed-forward", "", f"{block}.ff.net.2"),
    ]
    assert [(kind, name) for label, kind, _, name in table if not label] == [
        ("modulation", ""),
        ("input", ".pos_embed.proj"),
        ("time", ".adaln_single.emb.timestep_embedder.linear_1"),
        ("time", ".adaln_single.emb.timestep_embedder.linear_2"),
        ("modulation", ".adaln_single.linear"),
        ("context", ".caption_projection.linear_1"),
        ("context", ".caption_projection.linear_2"),
        ("output", ".proj_out"),
    ]


LEAVES = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("output", "to_out.0"))


def test_every_weight_is_at_a_site_and_sites_are_in_order_of_execution(models: dict[str, Model]) -> None:
    model, seen = models["alpha with sizes"], []
    with hooked(model, {}, before={model.sites: lambda call: seen.append(call.site)}), torch.no_grad():
        model.eps(model.noise([0], size=32), 500, model.encode(["a church"]))
    assert seen == list(model.sites)
    with torch.device("meta"):
        real = PixArtTransformer2DModel(caption_channels=4096)
    layers = [name for site in sites_on(walk_cross(real)) if site.level == "layer" for name in site.parameters]
    assert sorted(layers) == sorted(f"transformer.{name}" for name, _ in real.named_parameters())


def test_padding_is_attended_by_nothing_and_another_text_is_the_prompts_own(sigma: Model) -> None:
    """With another text and its mask in all cross-attention, the network predicts what it does for that text."""
    sites, rows = sigma.sites.only(kind="cross-attention", level="module"), []
    x, cond, other = sigma.noise([0]), sigma.encode(["a church"]), sigma.encode(["a red dog and a cat"])

    def keep(call: Any) -> None:
        rows.extend(probability for _, probability in sigma.attention(call))

    with torch.no_grad():
        with hooked(sigma, {sites: keep}):
            sigma.eps(x, 500, cond)
        with swap(sigma, sites, other):
            swapped = sigma.eps(x, 500, cond)
        assert torch.equal(swapped, sigma.eps(x, 500, other))
    used = int(cond.mask.sum())
    assert used == 3 and len(rows) == 2
    for probability in rows:
        torch.testing.assert_close(probability[..., :used].sum(-1), torch.ones_like(probability[..., 0]))
        assert (probability[..., used:] == 0).all()


def test_what_the_readers_read_is_the_projected_text(sigma: Model) -> None:
    given = []
    with hooked(sigma, {sigma.family.readers()["hidden"]: lambda call: given.append(call.args[0])}), torch.no_grad():
        sigma.eps(sigma.noise([0]), 500, cond := sigma.encode(["a church"]))
    (reading,) = sigma.readings
    assert len(given) == 4 and all(torch.equal(text, reading.states(sigma, cond)) for text in given)


def test_maps_are_drawn_of_it(sigma: Model) -> None:
    finding = Maps(steps=1)(sigma, ["a red church"], [0])
    assert finding.table["word"].to_list() == ["a", "red", "church"]


def test_a_latent_is_as_the_configs_say(sigma: Model) -> None:
    """PixArt has places for any size, and a token of two latent pixels to a side."""
    spec = latent_of(sigma.pipeline, mean=0.5)
    assert (spec.channels, spec.factor, spec.patch, spec.largest) == (4, 4, 2, None)
    assert spec.mean == (0.5,) * 4 and sigma.family.latent.mean == ()


def test_another_prediction_is_refused() -> None:
    pipeline = tiny_pixart()
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, prediction_type="v_prediction")
    with pytest.raises(UnsupportedModel, match="PixArt-Σ predicts the noise"):
        Model(pipeline)
