"""LocoEdit: the closed form on a few layers, by the published texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept, EmptySelection
from turpentine.erase._closed_form.subject_prompts import FOUR
from turpentine.erase.loco_edit import LocoEdit
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


CHURCH = Concept("church")


def last_state(pipeline: Any, text: str) -> Tensor:
    """The state of a text's last token, as the pipeline's encoder gives it, in fp64."""
    with torch.no_grad():
        hidden = pipeline.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    tokens = pipeline.tokenizer(text, padding="max_length", max_length=16, return_tensors="pt")
    return hidden[0][0, int(tokens.attention_mask.sum()) - 2].double()


def plain_loco(pipeline: Any, prompts: list[str], guide: str, modules: list[str], lamb: float) -> dict[str, Tensor]:
    """(XᵀX + λI)⁻¹(XᵀY + λWᵀ), turned, for keys X and the guide's values Y."""
    x = torch.stack([last_state(pipeline, prompt) for prompt in prompts])
    y = torch.stack([last_state(pipeline, guide)] * len(prompts))
    deltas = {}
    for name in modules:
        w = pipeline.unet.get_submodule(name).weight.detach().double()
        right = x.T @ y @ w.T + lamb * w.T
        deltas[f"unet.{name}.weight"] = (torch.linalg.inv(x.T @ x + lamb * torch.eye(len(x[0]))) @ right).T - w
    return deltas


@pytest.mark.parametrize("family", ["whole_sd1", "whole_sd2", "whole_sdxl"])
def test_it_is_the_authors_formula(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    edit = LocoEdit(sites="UP2,UP3", templates=("{}", "a {}"), guide="a house")(model, CHURCH)
    attentions = [site.name for site in model.sites.only(label=("UP2", "UP3"), kind="cross-attention", level="module")]
    modules = [f"{name.removeprefix('unet.')}.{part}" for name in attentions for part in ("to_k", "to_v")]
    plain = plain_loco(model.pipeline, ["church", "a church"], "a house", modules, 0.01)
    assert len(edit.deltas) == 4
    for name, delta in plain.items():
        assert (edit.deltas[name] - delta).norm() < 1e-5 * delta.norm()


def test_kinds_have_published_texts_of_their_own(sd1: Model) -> None:
    said = LocoEdit()(sd1, CHURCH)
    assert said == LocoEdit(templates=FOUR, guide="a photo")(sd1, CHURCH)
    # The published templates are longer than what the tiny encoder reads.
    with pytest.warns(UserWarning, match="17 tokens"), pytest.raises(EmptyConcept, match="in the style of red"):
        LocoEdit()(sd1, Concept("red", kind="style"))
    guided = LocoEdit(templates=("{}",))(sd1, Concept("red", kind="style"))
    assert guided == LocoEdit(templates=("{}",), guide="a painting")(sd1, Concept("red", kind="style"))


def test_more_tokens_may_be_keys(sd1: Model) -> None:
    edits = {positions: LocoEdit.preset(sd1, positions=positions)(sd1, CHURCH) for positions in ("last", "end", "tail")}
    assert len({edit.id for edit in edits.values()}) == 3
    assert all(edit.provenance.settings["positions"] == positions for positions, edit in edits.items())


def test_defaults_and_selections(sd1: Model) -> None:
    assert LocoEdit.preset("CompVis/stable-diffusion-v1-4") == LocoEdit()
    assert methods.LocoEdit is LocoEdit
    assert len(LocoEdit.preset(sd1, sites="*")(sd1, CHURCH).deltas) == 32
    with pytest.raises(EmptySelection, match="UP98"):
        LocoEdit(sites="UP98")(sd1, CHURCH)


def z_of(art: Any, normal: Any) -> float:
    """The authors' score of one neuron, in numpy."""
    spread = np.std(art) ** 2 / len(art) + np.std(normal) ** 2 / len(normal)
    return float(abs((np.mean(art) - np.mean(normal)) / spread**0.5))


def test_neurons_are_the_authors_and_only_their_rows_change(sd1: Model) -> None:
    templates, neutral = ("{}", "a {}", "red {}"), ("a dog", "a house", "red fish")
    edit = LocoEdit(sites="UP2", templates=templates, lamb=1e-4, neurons=5, neutral=neutral)(sd1, CHURCH)
    x = torch.stack([last_state(sd1.pipeline, template.format("church")) for template in templates])
    mean = torch.stack([last_state(sd1.pipeline, prompt) for prompt in neutral])
    for name, delta in edit.deltas.items():
        w = sd1.parameter(name).detach().double()
        art, normal = (x @ w.T).numpy(), (mean @ w.T).numpy()
        chosen = np.argsort([z_of(art[:, i], normal[:, i]) for i in range(len(w))])[-5:]
        assert sorted(chosen) == delta.any(dim=1).nonzero()[:, 0].tolist()
        after = (x @ (w + delta.double()).T).numpy()
        before, now = (np.abs(each[:, chosen] - normal.mean(0)[chosen]).mean() for each in (art, after))
        assert now < 0.2 * before  # the neutral means are in their place
        rest = np.setdiff1d(np.arange(len(w)), chosen)
        np.testing.assert_array_equal(after[:, rest], art[:, rest])
    assert len(edit.deltas) == 2


def test_neutral_prompts_are_by_default_the_guide_in_the_templates(sd1: Model) -> None:
    how = {"sites": "UP2", "templates": ("{}", "a {}"), "guide": "dog", "neurons": 4}
    by_default, given = (LocoEdit(**how, **more)(sd1, CHURCH) for more in ({}, {"neutral": ("dog", "a dog")}))
    assert by_default.deltas.keys() == given.deltas.keys()
    assert all(torch.equal(delta, given.deltas[name]) for name, delta in by_default.deltas.items())
    with pytest.raises(BadArgument, match="give two templates"):
        LocoEdit(**{**how, "templates": ("{}",)})(sd1, CHURCH)
    with pytest.raises(BadArgument, match="say how many neurons"):
        LocoEdit(neutral=("a dog", "a cat"))
    with pytest.raises(BadArgument, match="One neutral prompt"):
        LocoEdit(neurons=3, neutral=("a dog",))
