"""UCE: both published forms, what they change, what they keep, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from edits.weights import weights_hash
from erase.counting import Operations, encoded_texts
from tiny import tiny_sd1
from torch import Tensor

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept, EmptySelection, NotFinite
from turpentine.edits import Edit, stack_of
from turpentine.erase._closed_form.text_states import in_batches, text_states
from turpentine.erase._closed_form.uce_objective import FORMS, UCEObjective
from turpentine.erase.uce import UCE
from turpentine.models import Model, count_rows


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


CHURCH = Concept("church")
INK = Concept("red ink", kind="style", keep=("flat",))

# The equation


def states(pipeline: Any, text: str) -> tuple[Tensor, int]:
    """A text's states as diffusers encodes it, in fp64, and where its last token is, by the tokenizer's own mask."""
    with torch.no_grad():
        hidden = pipeline.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    tokens = pipeline.tokenizer(text, padding="max_length", max_length=16, return_tensors="pt")
    return hidden[0][0].double(), int(tokens.attention_mask.sum()) - 2


def plain_uce(pipeline: Any, pairs: list[Any], kept: list[str], form: str, lamb: float, a: float, b: float) -> Any:
    """The authors' loops as one would write them down: a layer at a time, a token at a time, an inverse for each."""
    moved = [pair for text, guide in pairs for pair in tokens_of_form(pipeline, text, guide, form)]
    held = [p for text in kept for p in kept_tokens(pipeline, text, form)]
    deltas = {}
    for name, module in pipeline.unet.named_modules():
        if not name.endswith(("attn2.to_k", "attn2.to_v")):
            continue
        w = module.weight.detach().double()
        left, right = lamb * w, lamb * torch.eye(w.shape[1], dtype=torch.float64)
        for k, g in moved:
            left = left + a * torch.outer(w @ g, k)
            right = right + a * torch.outer(k, k)
        for p in held:
            left = left + b * torch.outer(w @ p, p)
            right = right + b * torch.outer(p, p)
        deltas[f"unet.{name}.weight"] = left @ torch.linalg.inv(right) - w
    return deltas


def tokens_of_form(pipeline: Any, text: str, guide: str, form: str) -> list[tuple[Tensor, Tensor]]:
    (keys, last), (guides, guide_last) = states(pipeline, text), states(pipeline, guide)
    if form == "2025":
        return [(keys[last], guides[guide_last])]
    return list(zip(keys[last:], guides[guide_last:], strict=False))


def kept_tokens(pipeline: Any, text: str, form: str) -> list[Tensor]:
    rows, last = states(pipeline, text)
    return list(rows) if form == "paper" else [rows[last]]


def assert_close(edit: Edit, plain: dict[str, Tensor]) -> None:
    assert set(edit.deltas) == set(plain)
    for name, delta in plain.items():
        assert delta.norm() > 1e-3
        assert (edit.deltas[name] - delta).norm() < 1e-5 * delta.norm()


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_form_of_2025_is_the_authors_code(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    edit = UCE(preserve=("dog",), erase_scale=1.5, preserve_scale=0.6)(model, [CHURCH, INK])
    pairs = [("church", ""), ("red ink", "art")]
    assert_close(edit, plain_uce(model.pipeline, pairs, ["dog", "flat"], "2025", 0.5, 1.5, 0.6))


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_papers_form_is_the_papers_code(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    edit = UCE(variant="paper")(model, [CHURCH, INK])
    kept = (
        ["", "flat"] if family != "sdxl" else [" ", "flat"]
    )  # diffusers makes SDXL's "" all zeros, which keep nothing
    assert_close(edit, plain_uce(model.pipeline, [("church", " "), ("red ink", " ")], kept, "paper", 0.5, 1.0, 0.5))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_papers_tensor_technique_is_its_code(family: str, request: pytest.FixtureRequest) -> None:
    """`target = new_embs - (u*new_embs).sum()*u`, u the old values over their norm, a prompt's tokens as one vector."""
    model: Model = request.getfixturevalue(family)
    edit = UCE(variant="paper", technique="tensor")(model, [CHURCH, INK])
    kept = [
        row for text in (" " if family == "sdxl" else "", "flat") for row in kept_tokens(model.pipeline, text, "paper")
    ]
    plain = {}
    for name, module in model.pipeline.unet.named_modules():
        if not name.endswith(("attn2.to_k", "attn2.to_v")):
            continue
        w = module.weight.detach().double()
        left, right = 0.5 * w, 0.5 * torch.eye(w.shape[1], dtype=torch.float64)
        for text in ("church", "red ink"):
            moved = tokens_of_form(model.pipeline, text, " ", "paper")
            keys, guides = (torch.stack(part) for part in zip(*moved, strict=True))
            u, new = keys @ w.T / (keys @ w.T).norm(), guides @ w.T
            left = left + (new - (u * new).sum() * u).T @ keys
            right = right + keys.T @ keys
        for p in kept:
            left, right = left + 0.5 * torch.outer(w @ p, p), right + 0.5 * torch.outer(p, p)
        plain[f"unet.{name}.weight"] = left @ torch.linalg.inv(right) - w
    assert_close(edit, plain)
    assert edit != UCE(variant="paper")(model, [CHURCH, INK])
    with pytest.raises(BadArgument, match="2025 has no technique tensor"):
        UCE(technique="tensor")


def test_each_concept_may_have_a_guide_of_its_own_and_guides_may_stand_in_the_templates(sd1: Model) -> None:
    edit = UCE(guide=("a house", "flat"))(sd1, [CHURCH, INK])
    pairs = [("church", "a house"), ("red ink", "flat")]
    assert_close(edit, plain_uce(sd1.pipeline, pairs, ["flat"], "2025", 0.5, 1.0, 1.0))
    expanded = UCE(guide="house", templates=("{}", "a {} on red"), expand_guides=True)(sd1, CHURCH)
    assert expanded != UCE(guide="house", templates=("{}", "a {} on red"))(sd1, CHURCH)
    same = UCE(guide="house", templates=("a {}",), expand_guides=True)(sd1, CHURCH)
    assert_close(same, plain_uce(sd1.pipeline, [("a church", "a house")], [], "2025", 0.5, 1.0, 1.0))
    with pytest.raises(BadArgument, match="2 guides for 1 concepts"):
        UCE(guide=("a", "b"))(sd1, CHURCH)


def test_a_guide_and_templates_may_be_given(sd1: Model) -> None:
    edit = UCE(guide="a house", templates=("a {}", "red {}"), lamb=2.0)(sd1, CHURCH)
    pairs = [("a church", "a house"), ("red church", "a house")]
    assert_close(edit, plain_uce(sd1.pipeline, pairs, [], "2025", 2.0, 1.0, 1.0))
    own = UCE(templates=())(sd1, Concept("church", templates=("a {}", "{}")))
    assert_close(own, plain_uce(sd1.pipeline, [("a church", ""), ("church", "")], [], "2025", 0.5, 1.0, 1.0))


def test_a_subject_that_does_not_end_its_prompt_counts_by_its_own_last_token(sd1: Model) -> None:
    inside = UCE(templates=("{} in red style",))(sd1, CHURCH)
    assert_close(inside, plain_uce(sd1.pipeline, [("church", "")], [], "2025", 0.5, 1.0, 1.0))


# The two forms


def test_the_defaults_are_the_published_values(sd1: Model) -> None:
    published = {"variant": "2025", "erase_scale": 1.0, "lamb": 0.5, "preserve": (), "templates": ("{}",), "sites": "*"}
    assert {name: getattr(UCE(), name) for name in published} == published
    assert UCE.variants["uce-paper"] == {"variant": "paper"}
    assert methods.UCE is UCE
    assert UCE.preset("CompVis/stable-diffusion-v1-4") == UCE()
    assert UCE.preset(sd1, lamb=1.0) == UCE(templates=(), guide="", lamb=1.0)


def test_every_result_names_its_form_and_the_two_differ(sd1: Model) -> None:
    later, papers = (UCE(variant=name)(sd1, CHURCH) for name in ("2025", "paper"))
    assert (later.provenance.settings["variant"], papers.provenance.settings["variant"]) == ("2025", "paper")
    assert "UCE (2025) of church" in repr(later)
    assert "UCE (paper) of church" in repr(papers)
    norms = [sum(float(delta.norm()) for delta in edit.deltas.values()) for edit in (later, papers)]
    assert abs(norms[0] - norms[1]) > 0.2 * min(norms)


def test_the_papers_weight_of_what_is_kept_goes_by_its_number(sd1: Model) -> None:
    texts = ("dog", "cat", "car")
    by_default = UCE(variant="paper", preserve=texts)(sd1, CHURCH)
    assert by_default == UCE(variant="paper", preserve=texts, preserve_scale=0.25)(sd1, CHURCH)
    many = tuple(f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("dog", "cat", "car", "fish"))
    assert UCE(variant="paper", preserve=many)(sd1, CHURCH) == UCE("paper", None, many, 1.0, 0.1)(sd1, CHURCH)


# What it does


def test_the_concept_is_answered_as_its_guide_and_what_is_kept_as_before(sd1: Model) -> None:
    edit = UCE(guide="house", preserve=("dog",), preserve_scale=1e4, lamb=1e-6, erase_scale=1e4)(sd1, CHURCH)
    church, house, dog = (sd1.encode([text]).hidden[0, 1] for text in ("church", "house", "dog"))
    for name in edit.deltas:
        layer = sd1.module(name.removesuffix(".weight"))
        answers, kept = layer(house), layer(dog)
        with edit.on(sd1):
            torch.testing.assert_close(layer(church), answers, rtol=0, atol=1e-4)
            torch.testing.assert_close(layer(dog), kept, rtol=0, atol=1e-4)


def test_several_concepts_are_one_solution_and_each_text_is_encoded_once(sd1: Model) -> None:
    concepts = [Concept(word) for word in ("church", "dog", "cat", "car", "house", "truck")]
    progress: list[tuple[int, int]] = []
    with Operations() as operations, encoded_texts(sd1) as texts, count_rows(sd1) as denoiser:
        edit = UCE(preserve=("fish", "horn"))(sd1, concepts, progress=lambda *at: progress.append(at))
    assert operations.solving == {"linalg_cholesky_ex": 1, "cholesky_solve": 1}
    assert sum(texts) == 6 + 1 + 2  # concepts, the guide they share, and what is kept
    assert denoiser.rows == 0
    assert progress[-1] == (9 + 32, 9 + 32)
    assert progress == sorted(progress)
    assert edit.provenance.concepts == tuple(concepts)


def test_kept_texts_are_summed_a_batch_at_a_time(sd1: Model) -> None:
    texts = tuple(f"{first}{second}" for first in "abcdef" for second in "ghijklm")
    objective = UCEObjective.of(FORMS["2025"], [CHURCH], guide=None, preserve=texts, templates=("{}",))
    with Operations() as reading:
        states = [row for batch in in_batches(objective.preserved) for row in text_states(sd1, batch, "last")]
    with Operations() as operations:
        preserved = objective.preserved_gram(sd1)
    assert operations.count["mm"] - reading.count["mm"] == 2  # not one for each of the 42
    torch.testing.assert_close(preserved, sum(torch.outer(row[0], row[0]) for row in states))


def test_only_keys_and_values_change_and_only_where_asked(sd1: Model) -> None:
    everywhere = UCE()(sd1, CHURCH)
    assert len(everywhere.deltas) == 32
    assert all(name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")) for name in everywhere.deltas)
    some = UCE(sites="MID, UP?")(sd1, CHURCH)
    assert len(some.deltas) == 20
    assert all(torch.equal(delta, everywhere.deltas[name]) for name, delta in some.deltas.items())
    chosen = sd1.sites.only(label="MID")
    of_a_selection = UCE(sites=chosen)(sd1, CHURCH)
    assert set(of_a_selection.deltas) == {name for name in some.deltas if ".mid_block." in name}
    assert of_a_selection.provenance.settings["sites"] == tuple(site.name for site in chosen)


def test_the_model_is_left_as_it_was(sd1: Model) -> None:
    before = weights_hash(sd1)
    edit = UCE()(sd1, CHURCH)
    with edit.on(sd1):
        assert weights_hash(sd1) != before
    assert weights_hash(sd1) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_solved_in_double(sd1: Model, dtype: torch.dtype) -> None:
    half = Model(tiny_sd1(whole=True).to(dtype))
    before = weights_hash(half)
    edit, full = UCE()(half, CHURCH), UCE()(sd1, CHURCH)
    assert weights_hash(half) == before
    for name, delta in full.deltas.items():
        assert (edit.deltas[name] - delta).norm() < 0.05 * delta.norm()
    edit.apply(half)


def test_edits_that_are_on_are_part_of_the_model() -> None:
    model = Model(tiny_sd1(whole=True))
    first = UCE()(model, CHURCH).apply(model)
    second = UCE()(model, Concept("dog"))
    assert second.provenance.onto == (first.id,) == stack_of(model).ids
    assert_close(second, plain_uce(model.pipeline, [("dog", "")], [], "2025", 0.5, 1.0, 1.0))
    first.remove(model)
    assert UCE()(model, Concept("dog")) != second


# What is refused


def test_what_cannot_be_is_refused_before_any_work(sd1: Model) -> None:
    with encoded_texts(sd1) as texts:
        with pytest.raises(EmptyConcept, match="no concept"):
            UCE()(sd1, [])
        with pytest.raises(BadArgument, match="'Church' is to be erased and to be kept"):
            UCE(preserve=("Church",))(sd1, [CHURCH, INK])
        with pytest.raises(BadArgument, match="'dog' is to be erased and to be kept"):
            UCE()(sd1, [Concept("church", keep=("dog",)), Concept("dog")])
        with pytest.raises(BadArgument, match="lamb is 0"):
            UCE(lamb=0.0)(sd1, CHURCH)
        with pytest.raises(EmptySelection, match="UP99"):
            UCE(sites="UP99")(sd1, CHURCH)
        with pytest.raises(EmptySelection, match="no key or value"):
            UCE(sites=sd1.sites.only(kind="resnet"))(sd1, CHURCH)
        with pytest.raises(BadArgument, match="every step"):
            UCE(sites=sd1.sites.only(label="MID").during(0, 0.5))(sd1, CHURCH)
    assert texts == []


def test_a_concept_without_a_token_is_refused(sd1: Model) -> None:
    with pytest.raises(EmptyConcept, match="no token for 'é'"):
        UCE()(sd1, Concept("é"))


def test_nan_in_the_base_is_named() -> None:
    model = Model(tiny_sd1(whole=True))
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    model.parameter(name).data[0, 0] = torch.nan
    with pytest.raises(NotFinite, match=name):
        UCE()(model, CHURCH)
    model.pipeline.text_encoder.embeddings.token_embedding.weight.data.fill_(torch.nan)
    with pytest.raises(NotFinite, match="'church'"):
        UCE()(model, CHURCH)


@pytest.mark.parametrize("variant", ["2025", "paper"])
def test_a_setting_of_another_form_is_refused_when_it_is_made_with_those_that_it_has(variant):
    with pytest.raises(BadArgument, match=f"UCE's form {variant} has no eta, it has erase_scale, preserve"):
        UCE(variant=variant, eta=1.0)
    with pytest.raises(BadArgument, match="has no captions"):
        UCE(variant=variant, captions="named")
    assert UCE(variant="aligned", eta=1.0).eta == 1.0
