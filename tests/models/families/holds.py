"""What holds for the toys of transformers: sites, what is read in the place of tokens, edits, and a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import turpentine as tp
from turpentine.edits import Edit
from turpentine.models import Model, hooked
from turpentine.models.families.walk import Part, sites_on
from turpentine.models.sites import Sites
from turpentine.testing.state import weights_hash

Walk = Callable[[nn.Module], Iterable[Part]]


def other_encoder(words: int) -> BertModel:
    """A small text encoder that no family reads."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=words, **small))


def vectors_are_read(model: Model, text: str, other: str) -> None:
    """Of the prompt's own tokens they change no bit, and of another prompt they make its states."""
    one, two = (model.family.tokenize([each]) for each in (text, other))
    states = [model.encode([each]).hidden for each in (text, other)]
    assert torch.equal(model.encode_tokens(one, model.family.embed_tokens(one)).hidden, states[0])
    assert torch.equal(model.encode_tokens(one, model.family.embed_tokens(two)).hidden, states[1])


def sites_are_in_order(model: Model, real_network: Callable[[], nn.Module], walk: Walk) -> Sites:
    """Sites run in their order, and of a network of true size, whose sites are returned, every weight is at one."""
    seen = []
    with hooked(model, {}, before={model.sites: lambda call: seen.append(call.site)}), torch.no_grad():
        model.eps(model.noise([0]), 500, model.encode(["a church"]))
    assert seen == list(model.sites)
    with torch.device("meta"):
        real = real_network()
    sites = sites_on(walk(real))
    whole = [site for site in sites if site.level == "layer" and not (site.rows and site.rows[0])]  # a slice each
    layers = [name for site in whole for name in site.parameters]
    assert sorted(layers) == sorted(f"transformer.{name}" for name, _ in real.named_parameters())
    return sites


def an_edit_that_is_off_is_none(model: Model, draw: Callable[[Model], Tensor]) -> None:
    """It changes what is drawn while it is on, and then nothing, bit by bit."""
    weights, before = weights_hash(model), draw(model)
    name = model.family.readers()["hidden"].parameters()[0]
    with Edit({name: torch.ones_like(model.parameter(name))}).on(model):
        assert not torch.equal(draw(model), before)
    assert weights_hash(model) == weights and torch.equal(draw(model), before)


def it_loads_from_a_folder(model: Model, family: str, folder: Path, draw: Callable[[Model], Tensor]) -> None:
    """In diffusers' layout it is the same model, which draws the same."""
    model.pipeline.save_pretrained(folder / "model")
    again = tp.load(folder / "model", device="cpu")
    assert again.fingerprint == model.fingerprint and again.describe()["family"] == family
    assert torch.equal(draw(again), draw(model))
