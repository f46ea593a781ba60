"""UCE's debiasing, held against a plain reading of its authors' loop, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from erase.counting import encoded_texts
from tiny import tiny_sd1
from torch import Tensor

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.erase.uce_debias import UCEDebias
from turpentine.judges.zero_shot import ZeroShot
from turpentine.models import Model, count_rows


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


CHURCH, TRUCK = Concept("church"), Concept("red truck")
SEVERAL = ("house", "dog", "fish")


def quick(**settings: Any) -> UCEDebias:
    """A debiasing that a toy does in a moment."""
    how = {"rounds": 3, "pictures": 4, "sampling_steps": 2, "clip_model": "emoji", "label_templates": ("{}",)}
    return UCEDebias(**{"attributes": SEVERAL, **how, **settings})


def last_state(pipeline: Any, text: str) -> Tensor:
    with torch.no_grad():
        hidden = pipeline.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    tokens = pipeline.tokenizer(text, padding="max_length", max_length=16, return_tensors="pt")
    return hidden[0][0, int(tokens.attention_mask.sum()) - 2].double()


def plain_debias(method: UCEDebias, concepts: list[str], ratios: list[float]) -> dict[str, Tensor]:
    """The authors' loop: shares are measured, targets grow by what lacks, and each layer is solved from its original.

    They add to the stored target in place, so that it grows from round to round.
    """
    model = Model(tiny_sd1(whole=True))
    pipe, labels = model.pipeline, method.attributes
    judge = ZeroShot(labels, "emoji", 0.0, ("{}",))
    layers = {n: m for n, m in pipe.unet.named_modules() if n.endswith(("attn2.to_k", "attn2.to_v"))}
    olds = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    states = {text: last_state(pipe, text) for text in (*concepts, *labels, *method.preserve)}
    values = {(name, text): w.double() @ state for name, w in olds.items() for text, state in states.items()}
    for index in range(method.rounds):
        directions = []
        for concept in concepts:
            seeds = range(method.pictures * index, method.pictures * (index + 1))
            pictures = model.generate(concept, seeds=list(seeds), steps=2, guidance_scale=method.guidance_scale)
            results = judge(pictures)["subject"].to_list()
            lack = [ratio - results.count(label) / len(results) for label, ratio in zip(labels, ratios, strict=True)]
            is_near = max(lack) < method.tolerance and abs(min(lack)) < method.tolerance
            directions.append([0.0] * len(lack) if is_near else lack)
        if not any(map(any, directions)):
            break
        for name, w in olds.items():
            one = method.lamb * w.double()
            two = method.lamb * torch.eye(w.shape[1], dtype=torch.float64)
            for concept, direction in zip(concepts, directions, strict=True):
                for label, scale in zip(labels, direction, strict=True):
                    values[name, concept] = values[name, concept] + scale * values[name, label]
                one += method.edit_scale * torch.outer(values[name, concept], states[concept])
                two += method.edit_scale * torch.outer(states[concept], states[concept])
            for text in method.preserve:
                one += method.preserve_scale * torch.outer(values[name, text], states[text])
                two += method.preserve_scale * torch.outer(states[text], states[text])
            layers[name].weight.data = (one @ torch.linalg.inv(two)).float()
    return {f"unet.{name}.weight": layer.weight.detach() - olds[name] for name, layer in layers.items()}


@pytest.mark.parametrize("ratios", [(), (2.0, 1.0, 1.0)])
def test_it_is_the_authors_loop(sd1: Model, ratios: tuple[float, ...]) -> None:
    method = quick(ratios=ratios, preserve=("cat",), preserve_scale=0.6, edit_scale=1.5)
    edit = method(sd1, [CHURCH, TRUCK])
    plain = plain_debias(method, ["church", "red truck"], [0.5, 0.25, 0.25] if ratios else [1 / 3] * 3)
    assert set(edit.deltas) == set(plain) and len(plain) == 32
    for name, delta in plain.items():
        assert delta.norm() > 1e-3
        assert (edit.deltas[name] - delta).norm() < 1e-3 * delta.norm()
    measured = edit.provenance.measurements
    assert measured["rounds"] == 3
    assert all(sum(shares) == pytest.approx(1) for shares in (*measured["first"], *measured["last"]))


def test_targets_grow_from_round_to_round_and_by_the_step(sd1: Model) -> None:
    alphas = [
        torch.tensor(quick(**more)(sd1, CHURCH).provenance.measurements["alpha"])
        for more in ({"rounds": 1}, {"rounds": 1, "step": 0.1}, {"rounds": 3})
    ]
    torch.testing.assert_close(alphas[1], 0.1 * alphas[0])
    assert alphas[2].abs().sum() > alphas[0].abs().sum()
    assert alphas[0].sum().abs() < 1e-6  # shares and ratios both sum to 1


def test_what_is_within_the_tolerance_is_left(sd1: Model) -> None:
    with count_rows(sd1) as denoiser:
        edit = quick(tolerance=1.0)(sd1, CHURCH)
    assert denoiser.rows == 4 * 2 * 2  # one round's pictures, two steps, with and without the prompt
    assert edit.provenance.measurements["rounds"] == 1
    assert not any(delta.any() for delta in edit.deltas.values())


def test_a_run_goes_on_from_the_rounds_that_are_done(sd1: Model, tmp_path: Path) -> None:
    whole = quick(rounds=2)(sd1, CHURCH, checkpoint=tmp_path)
    with count_rows(sd1) as denoiser:
        assert quick(rounds=2)(sd1, CHURCH, checkpoint=tmp_path) == whole
    assert denoiser.rows == 0


def test_defaults_are_the_authors(sd1: Model) -> None:
    published = {"rounds": 30, "tolerance": 0.05, "pictures": 10, "sampling_steps": 20, "guidance_scale": 7.5}
    published |= {"edit_scale": 1.0, "preserve_scale": 1.0, "lamb": 0.5, "templates": ("{}",)}
    assert {name: getattr(UCEDebias(), name) for name in published} == published
    assert methods.UCEDebias is UCEDebias
    assert UCEDebias.preset(sd1).clip_model == "emoji"
    assert UCEDebias().shares == (0.5, 0.5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attributes": ("dog",)}, "attributes"),
        ({"attributes": ("dog", "Dog")}, "there twice"),
        ({"ratios": (1.0,)}, "1 ratios for 3 attributes"),
        ({"ratios": (0.0, 0.0, 0.0)}, "some of them over 0"),
        ({"ratios": (1.0, -1.0, 1.0)}, "ratios"),
        ({"label_templates": ()}, "no sentence"),
        ({"label_templates": ("a photo",)}, "must hold {} once"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        quick(**settings)


def test_what_cannot_be_is_refused_before_any_work(sd1: Model) -> None:
    with encoded_texts(sd1) as texts, count_rows(sd1) as denoiser:
        with pytest.raises(BadArgument, match="'Dog' is to be debiased and is an attribute"):
            quick()(sd1, Concept("Dog"))
        with pytest.raises(BadArgument, match="'church' is to be debiased and is to be kept"):
            quick(preserve=("church",))(sd1, CHURCH)
        with pytest.raises(EmptyConcept):
            quick(attributes=("dog", "教会"))(sd1, CHURCH)
    assert texts == [] and denoiser.rows == 0
