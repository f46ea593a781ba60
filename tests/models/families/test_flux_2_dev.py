"""FLUX.2 dev against diffusers' own pipeline: Mistral 3's chat, padding on either side, and a guidance of its own."""

from __future__ import annotations

import json
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import Flux2Pipeline, Flux2Transformer2DModel
from models.families.holds import (
    other_encoder,
    sites_are_in_order,
    vectors_are_read,
)
from transformers import Mistral3Config

import turpentine as tp
from turpentine.core.errors import BadArgument, TurpentineError, UnsupportedModel
from turpentine.models import DENOISER, Artefact, ClassifierFree, Model, TrueGuidance, sample
from turpentine.models.artefact import word_ids
from turpentine.models.families.flux_2 import EMBEDDED_GUIDANCE, layers_of
from turpentine.models.families.flux_2_dev import Flux2Dev
from turpentine.models.families.transformer_sites import walk_flux_2
from turpentine.models.identity import describe
from turpentine.models.vocabulary import Vocabulary
from turpentine.testing.toys import tiny_flux_2_dev, toy

PROMPTS = ["a church", "a red dog and a cat on blue"]
SIZE = (16, 32)
LAYERS: dict[str, Any] = {"text_encoder_out_layers": (1, 2, 3)}


def quiet(model: Model) -> Model:
    model.pipeline.set_progress_bar_config(disable=True)
    return model


@pytest.fixture(scope="module")
def dev() -> Model:
    """Shared, so leave it as it was."""
    return quiet(toy("flux2-dev"))


@pytest.fixture(scope="module", params=["left", "right"])
def either(request: pytest.FixtureRequest, dev: Model) -> Model:
    """Padded on either side; shared."""
    return dev if request.param == "left" else quiet(Model(tiny_flux_2_dev(side="right")))


def run(model: Model, steps: int = 1, scale: float = EMBEDDED_GUIDANCE, **how: Any) -> torch.Tensor:
    cond, uncond, x = model.encode(PROMPTS), model.encode([""]), model.noise([0, 1], size=SIZE)
    *_, last = sample(model, cond, uncond, x, steps=steps, guidance_scale=scale, **how)
    return last.x_next


def theirs(model: Model, steps: int = 1, **how: Any) -> torch.Tensor:
    given = {"latents": model.noise([0, 1], size=SIZE), "height": SIZE[0], "width": SIZE[1], **LAYERS, **how}
    return model.pipeline(prompt=PROMPTS, num_inference_steps=steps, **given).images


def in_rows(latents: torch.Tensor) -> torch.Tensor:
    return latents.flatten(2).transpose(1, 2)


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_of_the_pipeline(dev: Model, steps: int) -> None:
    """With its defaults: guidance 4 by the denoiser itself, the shift of steps and size; and with another guidance."""
    assert type(dev.family) is Flux2Dev and type(dev.pipeline).__name__ == Flux2Dev.pipeline_class
    assert dev.embeds_guidance
    assert signature(Flux2Pipeline.__call__).parameters["guidance_scale"].default == EMBEDDED_GUIDANCE
    ours = in_rows(run(dev, steps))
    torch.testing.assert_close(ours, theirs(dev, steps, output_type="latent"), atol=1e-5, rtol=1e-5)
    other = theirs(dev, steps, output_type="latent", guidance_scale=1.5)
    torch.testing.assert_close(in_rows(run(dev, steps, 1.5)), other, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(ours, other, atol=1e-4)


def test_pictures_are_those_of_the_pipeline(dev: Model) -> None:
    pixels = (dev.family.pixels(run(dev)) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pixels, theirs(dev, output_type="pt"), atol=1e-5, rtol=1e-5)


def test_predictions_outside_of_a_sampler_have_the_default_guidance(dev: Model) -> None:
    x, cond = dev.noise([0]), dev.encode(["a church"])
    with torch.no_grad():
        plain = dev.eps(x, 500, cond)
        assert torch.equal(dev.eps(x, 500, cond.guided(EMBEDDED_GUIDANCE)), plain)
        assert not torch.equal(dev.eps(x, 500, cond.guided(1)), plain)


def test_texts_are_those_of_the_pipeline(either: Model) -> None:
    """In one batch: of several lengths, the empty one, one that is cut, one of padding's own token, and one with the
    token that stands for a picture, which is taken out."""
    texts = [*PROMPTS, "", "a dog " * 400, "a <pad> dog", "a [IMG]red[IMG] church"]
    with torch.no_grad():
        expected, _ = either.pipeline.encode_prompt(texts, **LAYERS)
    with pytest.warns(UserWarning, match="has 845 tokens: the model reads the first 512"):
        assert torch.equal(either.encode(texts).hidden, expected)
    assert torch.equal(either.encode(["a [IMG]red[IMG] church"]).hidden, either.encode(["a red church"]).hidden)


def test_layers_are_those_of_the_pipeline() -> None:
    """Also of Mistral Small 3's own size, whose three states side by side are as wide as the denoiser reads."""
    for method in (Flux2Pipeline.__call__, Flux2Pipeline.encode_prompt):
        assert signature(method).parameters["text_encoder_out_layers"].default == Flux2Dev.layers
    real = Mistral3Config().text_config
    assert layers_of(real.num_hidden_layers, Flux2Dev.layers) == Flux2Dev.layers == (10, 20, 30)
    assert 3 * real.hidden_size == signature(Flux2Transformer2DModel).parameters["joint_attention_dim"].default


@pytest.mark.parametrize("prompt", ["a red church", "church", "a [IMG]blue church by a church"])
def test_words_are_found_where_their_tokens_are(either: Model, prompt: str) -> None:
    ids = either.family.tokenize([prompt])["text"][0]
    tokenizer = either.family.tokenizers["text"]
    places = either.text.find(prompt, "church")
    assert tokenizer.decode(ids[list(places.subject)]).strip() == "church" and places.last == places.subject[-1]
    assert tokenizer.decode(ids[places.end]) == "[/INST]" and places.length == len(ids) == 512
    whole = either.text.find(prompt)
    assert tokenizer.decode(ids[list(whole.subject)]) == prompt.replace("[IMG]", "")
    assert [tokenizer.decode(ids[list(at)]).strip() for at in either.text.find_all(prompt, "church")] == [
        "church"
    ] * prompt.count("church")
    assert "church".endswith(tokenizer.decode(ids[places.last]).strip())
    assert tokenizer.decode(ids[list(places.tail)[1:]]) == "[/INST]" + (512 - whole.end - 1) * "<pad>"
    assert ids[: places.padding].eq(tokenizer.pad_token_id).all() and ids[places.padding] == tokenizer.bos_token_id


def test_what_is_cut_is_not_found(either: Model) -> None:
    places = either.text.find("a dog " * 400 + "church", "dog")
    assert places.end == 511 and places.padding == 0
    with pytest.raises(BadArgument, match=r"and the model reads 512: .* would be cut off"):
        either.text.check_fits("a [IMG]dog " * 400)


def test_vectors_in_the_place_of_tokens_are_read(either: Model) -> None:
    vectors_are_read(either, "a red church", "a blue dog")


def test_a_learned_word_and_searched_tokens_stand_where_words_stand(either: Model) -> None:
    """A word of the vectors of two known words is read as these, and rows of tokens as what is typed."""
    words = Vocabulary(either)
    rows = words.prompts(torch.tensor([words.ids_of("a red church"), words.ids_of("a blue dog")]))
    typed = either.family.tokenize(["a red church", "a blue dog"])
    assert torch.equal(rows["text"], typed["text"]) and list(words.places(3)) == list(
        either.text.find("a red church").subject
    )
    ids, places = word_ids(either, "a <concept> on blue", "<concept>", 2)
    assert ids["text"].shape == (1, 512) and len(places["text"]) == 2
    table = either.family.token_tables()["text"].detach()
    vectors = table[words.ids_of("a red church")[1:]].clone()
    with Artefact(("a <concept> on blue",), vectors={"text": vectors}).on(either), torch.no_grad():
        read = either.encode(["a <concept> on blue"]).hidden
    assert torch.equal(read, either.encode(["a red church on blue"]).hidden)


def test_a_tokenizer_without_its_processor_reads_alike(dev: Model) -> None:
    pipeline = tiny_flux_2_dev()
    pipeline.register_modules(tokenizer=dev.family.tokenizers["text"])
    pipeline.tokenizer.chat_template = dev.pipeline.tokenizer.chat_template
    bare = Model(pipeline)
    with torch.no_grad():
        expected, _ = pipeline.encode_prompt(PROMPTS, **LAYERS)
    assert torch.equal(bare.encode(PROMPTS).hidden, expected) and describe(bare) == describe(dev)


def test_the_system_message_is_the_pipelines_and_a_part_of_the_identity(dev: Model) -> None:
    pipeline = tiny_flux_2_dev()
    pipeline.system_message = "You see a church."
    other = Model(pipeline)
    with torch.no_grad():
        expected, _ = pipeline.encode_prompt(PROMPTS, **LAYERS)
    assert torch.equal(other.encode(PROMPTS).hidden, expected)
    assert not torch.equal(dev.encode(PROMPTS).hidden, expected)
    assert other.fingerprint == dev.fingerprint and describe(other) != describe(dev)
    pipeline.system_message = "Another."
    for use in (lambda: other.encode(["a church"]), lambda: describe(other)):
        with pytest.raises(UnsupportedModel, match="system_message was changed after the model was made from it"):
            use()


def test_the_table_of_sites(dev: Model) -> None:
    """Frozen: klein's, with an embedder of the guidance behind that of the time, and Mistral's layers in the text."""
    klein = toy("flux2").sites.only(component=DENOISER)
    names = [site.name for site in dev.sites.only(component=DENOISER)]
    own = [f"transformer.time_guidance_embed.guidance_embedder{layer}" for layer in ("", ".linear_1", ".linear_2")]
    at = names.index(own[0])
    assert names[at : at + 3] == own and names[:at] + names[at + 3 :] == [site.name for site in klein]
    assert {site.kind for site in dev.sites.only(name=own)} == {"time"}
    inside = "text_encoder.model.language_model"
    text = [(site.label, site.kind, site.name.removeprefix(inside)) for site in dev.sites.only(component="text")]
    assert text[0] == ("", "text-embedding", ".embed_tokens") and text[-1] == ("", "text-norm", ".norm")
    second = [(kind, name.removeprefix(".layers.1.")) for label, kind, name in text if label == "TEXT2"]
    assert second == [
        ("text-norm", "input_layernorm"),
        ("text-attention", "self_attn"),
        *(("text-attention", f"self_attn.{name}_proj") for name in "qkvo"),
        ("text-norm", "post_attention_layernorm"),
        ("text-mlp", "mlp"),
        *(("text-mlp", f"mlp.{name}_proj") for name in ("gate", "up", "down")),
    ]


def test_sites_are_in_order_of_execution_and_every_weight_of_the_real_one_is_at_one(dev: Model) -> None:
    """FLUX.2 dev's own configuration, without numbers."""
    sizes = {"num_layers": 8, "num_single_layers": 48, "num_attention_heads": 48, "attention_head_dim": 128}
    real = partial(Flux2Transformer2DModel, **sizes, joint_attention_dim=15360, in_channels=128, guidance_embeds=True)
    sites = sites_are_in_order(dev, real, lambda network: walk_flux_2(network, 64))
    joint = [site.label for site in sites if site.kind == "joint-attention" and site.level == "module"]
    assert joint == [f"BLOCK{n}" for n in range(1, 8 + 48 + 1)]
    rows = [site.rows for site in sites if site.path.endswith("single_transformer_blocks.47.attn.to_qkv_mlp_proj")]
    assert rows == [(0, 6144), (6144, 12288), (12288, 18432), (18432, 18432 + 2 * 3 * 6144)]


def test_a_negative_prompt_needs_true_guidance(dev: Model) -> None:
    for how in ({}, {"guidance": ClassifierFree()}):
        with pytest.raises(BadArgument, match="this model computes guidance itself"):
            dev.generate("a church", steps=1, negative_prompt="red", **how)
    assert dev.generate("a church", steps=1, negative_prompt="red", guidance=TrueGuidance())[0].size == (32, 32)


def test_one_that_reads_no_guidance_is_led_as_others_are() -> None:
    pipeline = tiny_flux_2_dev()
    pipeline.transformer = without_guidance(pipeline.transformer)
    plain = quiet(Model(pipeline))
    assert not plain.embeds_guidance
    torch.testing.assert_close(
        in_rows(run(plain, scale=1.0)), theirs(plain, output_type="latent"), atol=1e-5, rtol=1e-5
    )
    assert not torch.allclose(run(plain, scale=4.0), run(plain, scale=1.0), atol=1e-4)


def without_guidance(transformer: Any) -> Any:
    return Flux2Transformer2DModel.from_config({**transformer.config, "guidance_embeds": False}).eval()


def test_it_loads_from_a_folder_in_diffusers_layout(dev: Model, tmp_path: Path) -> None:
    """As FLUX.2 dev's says of its processor, whose class needs torchvision, and as it is saved without that."""
    dev.pipeline.save_pretrained(tmp_path / "model")
    says = tmp_path / "model" / "model_index.json"
    index = json.loads(says.read_text())
    says.write_text(json.dumps({**index, "tokenizer": ["transformers", "PixtralProcessor"]}))
    again = tp.load(tmp_path / "model", device="cpu")
    assert again.describe()["family"] == "FLUX.2 dev" and describe(again) == describe(dev)
    assert torch.equal(run(again), run(dev))
    again.pipeline.save_pretrained(tmp_path / "again")
    assert describe(tp.load(tmp_path / "again", device="cpu")) == describe(dev)


def _chatless(pipeline: Any) -> Any:
    pipeline.tokenizer.chat_template = None
    return pipeline.tokenizer


def _cut_on_the_left(pipeline: Any) -> Any:
    pipeline.tokenizer.tokenizer.truncation_side = "left"
    return pipeline.tokenizer


def _without_start(pipeline: Any) -> Any:
    """A chat without a start token, which the tokenizer puts before a text."""
    tokenizer = pipeline.tokenizer.tokenizer
    tokenizer.chat_template = pipeline.tokenizer.chat_template.replace("{{ bos_token }}", "")
    return tokenizer


def _changed(**changes: Any) -> Any:
    return lambda pipeline: Flux2Transformer2DModel.from_config({**pipeline.transformer.config, **changes})


ALTERED = {
    "another encoder": ("text_encoder", lambda _: other_encoder(500), "is a BertModel: Turpentine reads Mistral 3's"),
    "other channels": ("transformer", _changed(in_channels=32), "takes 32 channels and gives 32, and a latent has 16"),
    "no chat": ("tokenizer", _chatless, "has no chat_template, in which prompts are read"),
    "no tokenizer": ("tokenizer", lambda _: None, "has no tokenizer of text_encoder, without which no prompt"),
    "cuts on the left": ("tokenizer", _cut_on_the_left, "another truncation_side than 'right'"),
    "another chat": ("tokenizer", _without_start, "puts other tokens around a chat than around a text"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_changes_what_it_computes_is_refused_by_name(case: str) -> None:
    name, make, sentence = ALTERED[case]
    pipeline = tiny_flux_2_dev()
    setattr(pipeline, name, make(pipeline))
    with pytest.raises(TurpentineError, match=sentence):
        Model(pipeline)


def test_other_families_still_pad_on_the_right() -> None:
    pipeline = toy("flux2").pipeline
    pipeline.tokenizer.padding_side = "left"
    with pytest.raises(UnsupportedModel, match="another padding_side than 'right': set it to that"):
        Model(pipeline)
