import pytest
import torch
from diffusers import UNet2DConditionModel

from turpentine.models import hooked
from turpentine.models.families.unet_sites import KINDS, find_sites

SD14 = {
    "sample_size": 64,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}

SD21 = {
    **SD14,
    "sample_size": 96,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "upcast_attention": True,
}

SDXL = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}

SIXTEEN = {
    "DOWN1": "down_blocks.0.attentions.0",
    "DOWN2": "down_blocks.0.attentions.1",
    "DOWN3": "down_blocks.1.attentions.0",
    "DOWN4": "down_blocks.1.attentions.1",
    "DOWN5": "down_blocks.2.attentions.0",
    "DOWN6": "down_blocks.2.attentions.1",
    "MID": "mid_block.attentions.0",
    "UP1": "up_blocks.1.attentions.0",
    "UP2": "up_blocks.1.attentions.1",
    "UP3": "up_blocks.1.attentions.2",
    "UP4": "up_blocks.2.attentions.0",
    "UP5": "up_blocks.2.attentions.1",
    "UP6": "up_blocks.2.attentions.2",
    "UP7": "up_blocks.3.attentions.0",
    "UP8": "up_blocks.3.attentions.1",
    "UP9": "up_blocks.3.attentions.2",
}


@pytest.fixture(scope="module")
def real():
    """UNets of published size without their weights, by name."""
    with torch.device("meta"):
        return {name: UNet2DConditionModel(**config) for name, config in (("1.4", SD14), ("2.1", SD21), ("XL", SDXL))}


def sites_of(unet):
    return find_sites(unet, {})


def cross_attention(sites):
    return sites.only(kind="cross-attention", level="module")


@pytest.mark.parametrize(("name", "count"), [("1.4", 859_520_964), ("2.1", 865_910_724), ("XL", 2_567_463_684)])
def test_the_configs_are_the_real_ones_and_every_weight_is_at_a_site(real, name, count):
    unet = real[name]
    assert sum(weight.numel() for weight in unet.parameters()) == count
    everything = sites_of(unet)
    names = {f"unet.{name}" for name, _ in unet.named_parameters()}
    assert set(everything.parameters()) == names
    assert set(everything.only(level="layer").parameters()) == names
    assert set(everything.only(level="module").parameters()) < names
    assert {site.kind for site in everything} <= set(KINDS)


@pytest.mark.parametrize(("name", "top"), [("1.4", 64), ("2.1", 96)])
def test_stable_diffusion_has_sixteen_cross_attention_modules(real, name, top):
    sites = cross_attention(sites_of(real[name]))
    expected = {label: f"unet.{path}.transformer_blocks.0.attn2" for label, path in SIXTEEN.items()}
    assert {site.label: site.name for site in sites} == expected
    assert [site.label for site in sites] == list(SIXTEEN)
    halvings = [1, 1, 2, 2, 4, 4, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1]
    assert [site.resolution for site in sites] == [top // halving for halving in halvings]


def test_sdxl_has_seventy(real):
    sites = cross_attention(sites_of(real["XL"]))
    labels = [f"DOWN{n}" for n in range(1, 25)] + [f"MID{n}" for n in range(1, 11)] + [f"UP{n}" for n in range(1, 37)]
    assert [site.label for site in sites] == labels
    by_label = {site.label: site for site in sites}
    assert by_label["DOWN4"].name == "unet.down_blocks.1.attentions.1.transformer_blocks.1.attn2"
    assert by_label["DOWN5"].name == "unet.down_blocks.2.attentions.0.transformer_blocks.0.attn2"
    assert by_label["MID10"].name == "unet.mid_block.attentions.0.transformer_blocks.9.attn2"
    assert by_label["UP30"].name == "unet.up_blocks.0.attentions.2.transformer_blocks.9.attn2"
    assert by_label["UP31"].name == "unet.up_blocks.1.attentions.0.transformer_blocks.0.attn2"
    assert [by_label[label].resolution for label in ("DOWN1", "DOWN5", "MID1", "UP1", "UP36")] == [64, 32, 32, 32, 64]


def test_the_layers_of_a_module_have_its_label_and_kind(real):
    layers = sites_of(real["1.4"]).only(label="MID", kind="cross-attention", level="layer")
    attn2 = "unet.mid_block.attentions.0.transformer_blocks.0.attn2"
    assert [site.name for site in layers] == [f"{attn2}.{leaf}" for leaf in ("to_q", "to_k", "to_v", "to_out.0")]
    assert layers.only(name="*.to_k").parameters() == (f"{attn2}.to_k.weight",)


def test_norms_inside_a_block_are_norms(real):
    inside = sites_of(real["1.4"]).only(name="unet.mid_block.resnets.0.*")
    assert {site.name.split(".")[-1]: site.kind for site in inside} == {
        "norm1": "norm",
        "conv1": "resnet",
        "time_emb_proj": "resnet",
        "norm2": "norm",
        "conv2": "resnet",
    }


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_order_is_that_of_execution(family, request):
    model = request.getfixturevalue(family)
    seen = []
    sites = model.sites.only(name=["unet.*", "text_encoder*"])
    with hooked(model, {}, before={sites: lambda call: seen.append(call.site)}):
        cond = model.encode(["a church"])
        model.eps(model.noise([0]), 500, cond)
    assert seen == list(sites)


def test_text_encoders_have_sites(sdxl):
    attention = sdxl.sites.only(kind="text-attention", level="module")
    assert [site.label for site in attention] == ["TEXT1", "TEXT2", "TEXT3", "TEXT2-1", "TEXT2-2", "TEXT2-3"]
    encoders = {
        f"{name}.{path}"
        for name in ("text_encoder", "text_encoder_2")
        for path, _ in sdxl.components[name].named_parameters()
    }
    assert set(sdxl.sites.only(kind="text-*").parameters()) == encoders


def test_a_unet_without_a_middle():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**{**SD14, "mid_block_type": None})
    assert "MID" not in {site.label for site in sites_of(unet)}
