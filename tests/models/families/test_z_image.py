"""Z-Image against diffusers' own pipeline: its chat, its sign and time, and one stream of picture and text."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from diffusers import ZImageTransformer2DModel
from models.families.holds import (
    other_encoder,
    sites_are_in_order,
)

from turpentine.core.errors import UnsupportedModel
from turpentine.models import DENOISER, Model, hooked, sample
from turpentine.models.families.transformer_sites import walk_z
from turpentine.models.families.walk import module_of
from turpentine.models.families.z_image import ZImage
from turpentine.testing.toys import tiny_z, toy

PROMPTS = [
    "a church",
    "church and a red dog and a cat on blue and a house in green style by a truck and a car and a fish",
]
SIZE = (24, 32)


@pytest.fixture(scope="module")
def z() -> Model:
    """Shared, so leave it as it was."""
    model = toy("z")
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def run(model: Model, steps: int, scale: float = 6.0) -> torch.Tensor:
    cond, uncond, x = model.encode(PROMPTS), model.encode([""]), model.noise([0, 1], size=SIZE)
    *_, last = sample(model, cond, uncond, x, steps=steps, guidance_scale=scale)
    return last.x_next


@pytest.mark.parametrize(("steps", "scale"), [(1, 5.0), (3, 5.0), (2, 0.0)])
def test_steps_are_those_of_the_pipeline(z: Model, steps: int, scale: float) -> None:
    """With its guidance of 5, which is w = 6, or none as Turbo; prompts of two lengths, and filled up ones."""
    assert type(z.family) is ZImage and type(z.pipeline).__name__ == ZImage.pipeline_class
    how: dict[str, Any] = {"height": SIZE[0], "width": SIZE[1], "num_inference_steps": steps, "guidance_scale": scale}
    x = z.noise([0, 1], size=SIZE)
    theirs = z.pipeline(list(PROMPTS), latents=x, output_type="latent", **how).images
    ours = run(z, steps, scale + 1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    pictures = z.pipeline(list(PROMPTS), latents=x, output_type="pt", **how).images
    torch.testing.assert_close((z.family.pixels(ours) / 2 + 0.5).clamp(0, 1), pictures, atol=1e-5, rtol=1e-5)


def test_texts_are_those_of_the_pipeline(z: Model) -> None:
    """The last states but one, of the chat's tokens, too."""
    theirs, empty = z.pipeline.encode_prompt([*PROMPTS, ""])
    ours = z.encode([*PROMPTS, ""])
    for row, states in enumerate(theirs):
        assert int(ours.mask[row].sum()) == len(states) and torch.equal(ours.hidden[row, : len(states)], states)
        assert not ours.hidden[row, len(states) :].any()
    assert len(empty[0]) == 8 and torch.equal(z.encode([""]).hidden[0, :8], empty[0])


def test_words_are_behind_the_chats_beginning(z: Model) -> None:
    places = z.text.find("a red church", "church")
    assert (list(places.subject), places.end) == ([5], 6)


def test_the_table_of_sites(z: Model) -> None:
    """Frozen: whoever changes it changes what selections mean."""
    table = [
        (site.label, site.kind, site.role, site.name.removeprefix("transformer"))
        for site in z.sites.only(component=DENOISER, level="layer")
    ]
    attention = [("query", "to_q"), ("key", "to_k"), ("value", "to_v")]

    def block(path: str, kind: str) -> list[tuple[str, str, str]]:
        return [
            ("modulation", "", f"{path}.adaLN_modulation.0"),
            ("norm", "", f"{path}.attention_norm1"),
            *((kind, role, f"{path}.attention.{leaf}") for role, leaf in attention),
            *(("norm", "", f"{path}.attention.norm_{leaf}") for leaf in ("q", "k")),
            (kind, "output", f"{path}.attention.to_out.0"),
            ("norm", "", f"{path}.attention_norm2"),
            ("norm", "", f"{path}.ffn_norm1"),
            *(("feed-forward", "", f"{path}.feed_forward.{leaf}") for leaf in ("w1", "w3", "w2")),
            ("norm", "", f"{path}.ffn_norm2"),
        ]

    def labelled(label: str) -> list[tuple[str, str, str]]:
        return [each[1:] for each in table if each[0] == label]

    assert labelled("BLOCK1") == block(".layers.0", "joint-attention")
    assert labelled("NOISE1") == block(".noise_refiner.0", "self-attention")
    assert {kind for kind, _, _ in labelled("CONTEXT1")} == {"context", "norm"} and len(labelled("CONTEXT1")) == 13
    assert [(kind, name) for label, kind, _, name in table if not label] == [
        ("input", ""),
        ("time", ".t_embedder.mlp.0"),
        ("time", ".t_embedder.mlp.2"),
        ("input", ".all_x_embedder.2-1"),
        ("norm", ".cap_embedder.0"),
        ("context", ".cap_embedder.1"),
        ("modulation", ".all_final_layer.2-1.adaLN_modulation.1"),
        ("output", ".all_final_layer.2-1.linear"),
    ]
    assert module_of("transformer.layers.0.feed_forward.w2.weight").endswith("0.feed_forward")


def test_every_weight_is_at_a_site_and_sites_are_in_order_of_execution(z: Model) -> None:
    sites = sites_are_in_order(z, ZImageTransformer2DModel, lambda network: walk_z(network, 64))
    assert sum(site.kind == "joint-attention" and site.level == "module" for site in sites) == 30


def test_what_the_picture_attends_to_is_the_texts_part_of_the_one_softmax(z: Model) -> None:
    """With rotary places, in a batch of two lengths: mixed, all columns give what the module gives."""
    sites, calls = z.sites.only(kind="joint-attention", level="module"), []
    with hooked(z, {sites: calls.append}), torch.no_grad():
        z.eps(z.noise([0, 1], size=SIZE), 500, z.encode(PROMPTS))
    count, first = 3 * 4, 32
    for call in calls:
        attn, rows, mask = call.module, call.args[0], call.kwargs["attention_mask"]
        freqs = call.kwargs["freqs_cis"][:, None]

        def heads(layer: str, norm: str, attn=attn, rows=rows, freqs=freqs) -> torch.Tensor:
            split = getattr(attn, norm)(getattr(attn, layer)(rows).unflatten(-1, (2, -1))).transpose(1, 2)
            pairs = torch.view_as_complex(split.unflatten(-1, (-1, 2)).contiguous())
            return torch.view_as_real(pairs * freqs).flatten(-2)

        with torch.no_grad():
            agreement = heads("to_q", "norm_q") @ heads("to_k", "norm_k").transpose(-1, -2) / 12**0.5
            agreement = agreement if mask is None else agreement.masked_fill(~mask[:, None, None], float("-inf"))
            joint = agreement.softmax(-1)
            values = attn.to_v(rows).unflatten(-1, (2, -1)).transpose(1, 2)
            mixed = attn.to_out[0]((joint @ values).transpose(1, 2).flatten(2))
            torch.testing.assert_close(mixed, call.tensor, atol=1e-5, rtol=1e-4)
        of_text = joint[:, :, :count, first:]
        ours = torch.cat([each for _, each in z.attention(call)], dim=1)
        torch.testing.assert_close(ours, of_text / of_text.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_what_the_reader_reads(z: Model) -> None:
    given, readers = [], z.family.readers()["hidden"]
    with hooked(z, {readers: lambda call: given.append(call.args[0])}), torch.no_grad():
        z.eps(z.noise([0]), 500, cond := z.encode(["a church"]))
    (reading,) = z.readings
    used = int(cond.mask.sum())
    assert torch.equal(given[0][:used], reading.states(z, cond)[0, :used])


def _changed(**changes: Any) -> Any:
    return lambda: ZImageTransformer2DModel(**{**tiny_z().transformer.config, **changes})


ALTERED = {
    "another encoder": ("text_encoder", partial(other_encoder, 500), "reads Qwen3's alone"),
    "one that reads pictures": ("transformer", _changed(siglip_feat_dim=8), "give Z-Image, not Omni"),
    "other channels": ("transformer", _changed(in_channels=8), "takes 8 channels in patches of"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_changes_what_it_computes_is_refused_by_name(case: str) -> None:
    name, make, sentence = ALTERED[case]
    pipeline = tiny_z()
    setattr(pipeline, name, make())
    with pytest.raises(UnsupportedModel, match=sentence):
        Model(pipeline)


def test_a_tokenizer_without_a_chat_is_refused() -> None:
    pipeline = tiny_z()
    pipeline.tokenizer.chat_template = None
    with pytest.raises(UnsupportedModel, match="has no chat_template"):
        Model(pipeline)
