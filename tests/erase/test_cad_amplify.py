"""CADAmplify: its objective on pictures, where they come from, and what is zeroed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits.weights import weights_hash
from PIL import Image

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_images
from turpentine.core.imaging import fitted
from turpentine.core.settings import field_types, fits, range_of
from turpentine.emoji.judge_network import ANSWERS, load_judge
from turpentine.emoji.lexicon import world_concept
from turpentine.erase.cad_amplify import CADAmplify
from turpentine.erase.examples import from_model, from_world
from turpentine.judges import EmojiJudge
from turpentine.models import Model, count_rows
from turpentine.runs.method_settings import facts_of, method_of
from turpentine.runs.specs import EditSpec, ModelSpec

CHURCH = Concept("church")


def quick(**changes: Any) -> CADAmplify:
    return CADAmplify(**{"draws": 3, "share": 0.01, "sampling_steps": 2, "pictures": 2, **changes})


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in noise]


def test_pictures_from_files_are_known_by_their_content(sd1: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    keys = []
    for picture in pictures():
        picture.save(path)
        method = quick(images=(str(path),))
        facts = json.loads(json.dumps(facts_of(method)))
        keys.append(EditSpec(ModelSpec("toy", {}, "float32"), method, (CHURCH,)).key)
        assert method_of(facts, sd1) == method
    assert keys[0] != keys[1]
    Image.new("RGB", (32, 32)).save(path)
    with pytest.raises(BadArgument, match="CADAmplify reads files with another content now"):
        method_of(facts, sd1)
    with pytest.raises(BadArgument, match=r"gone\.png cannot be read: No such file"):
        facts_of(quick(images=(str(tmp_path / "gone.png"),)))


def test_a_plan_of_other_code_is_refused(sd1: Model) -> None:
    facts = facts_of(quick())
    with pytest.raises(BadArgument, match="CADAmplify is of another revision now"):
        method_of({**facts, "revision": "of yesterday"}, sd1)


def test_the_most_negative_weights_of_the_papers_objective_are_zeroed(double: Model) -> None:
    before = weights_hash(double)
    edit = quick(per="matrix", seed=4)(double, CHURCH, examples=pictures())
    assert weights_hash(double) == before
    unet = copy.deepcopy(double.denoiser).requires_grad_(True)
    weights = {n: p for n, p in unet.named_parameters() if ".ff." in n and n.endswith("weight")}
    pipeline = double.pipeline
    bars = pipeline.scheduler.alphas_cumprod.double()
    pixels = torch.from_numpy(np.stack([np.asarray(each) for each in pictures()])).permute(0, 3, 1, 2).double()
    with torch.no_grad():
        latents = 0.5 * pipeline.vae.encode(pixels / 127.5 - 1).latent_dist.mean  # the toy's scaling factor
    value = 0.0
    seeds = np.random.default_rng((2, 4, 0)).integers(2**31, 2**32, size=3).tolist()
    for draw, seed in enumerate(seeds):
        noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed)).double()
        t = (166, 500, 833)[draw]
        for row, prompt in enumerate(["church", "a church"]):
            x = bars[t].sqrt() * latents[row] + (1 - bars[t]).sqrt() * noise[row]
            eps = unet(x[None], t, pipeline.encode_prompt(prompt, "cpu", 1, False)[0]).sample[0]
            j = -((noise[row] - eps) ** 2).sum() / 6
            j.backward()
            value += float(j.detach())
    rise = 0.0
    for name, weight in weights.items():
        alpha = (weight * weight.grad).detach().flatten()
        lowest = alpha.sort().indices[: int(0.01 * alpha.numel() + 0.5)]
        rise -= float(alpha[lowest].sum())
        assert edit.zeroed[f"unet.{name}"].positions.tolist() == sorted(lowest.tolist()), name
    assert edit.provenance.measurements["objective"] == pytest.approx((value,), rel=1e-5)
    assert edit.provenance.measurements["predicted_rise"] == pytest.approx((rise,), rel=1e-5)


def test_zeroing_helps_to_denoise_the_pictures(sd1: Model) -> None:
    edit = quick(share=0.0005)(sd1, CHURCH, examples=pictures())
    with edit.on(sd1):
        after = quick(share=0.0005)(sd1, CHURCH, examples=pictures())
    assert after.provenance.measurements["objective"][0] > edit.provenance.measurements["objective"][0]
    assert edit.provenance.measurements["predicted_rise"][0] > 0
    assert edit.provenance.measurements["images_digest"] == digest_images(pictures())


def test_rows_are_counted_and_told(sd1: Model) -> None:
    for changes, made in (({"source": "generated"}, 8), ({"source": "world"}, 0)):
        seen: list[tuple[int, int]] = []
        with count_rows(sd1) as count:
            quick(**changes)(sd1, CHURCH, progress=lambda *told, seen=seen: seen.append(told))
        assert (count.rows - count.grad_rows, count.grad_rows) == (made, 6)
        assert seen[-1] == (made + 18, made + 18)


class Still:
    """A guidance that predicts no noise at all."""

    extra, needs_uncond = None, False

    def start(self, model: Model, rows: int, guidance_scale: float, steps: int) -> Still:
        return self

    def __call__(self, index: int, uncond: Any, cond: torch.Tensor, extra: Any) -> torch.Tensor:
        return torch.zeros_like(cond)


def test_generated_pictures_follow_no_guidance_of_the_model(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = from_model(sd1, ["church"], [0], steps=2, guidance_scale=7.5)
    monkeypatch.setattr(sd1, "guidance", Still())
    assert digest_images(from_model(sd1, ["church"], [0], steps=2, guidance_scale=7.5)) == digest_images(plain)
    assert digest_images(sd1.generate(["church"], seeds=[0], steps=2)) != digest_images(plain)


def test_pictures_come_from_files_too(sd1: Model, tmp_path: Path) -> None:
    paths = []
    for index, image in enumerate(pictures()):
        image.save(tmp_path / f"{index}.png")
        paths.append(str(tmp_path / f"{index}.png"))
    assert quick(images=tuple(paths))(sd1, CHURCH) == quick()(sd1, CHURCH, examples=pictures())
    (tmp_path / "text.png").write_text("no picture")
    for bad in (tmp_path / "text.png", tmp_path / "none.png", tmp_path):
        with pytest.raises(BadArgument, match="is no picture"):
            quick(images=(str(bad),))(sd1, CHURCH)


def test_pictures_of_any_size_are_cut_to_the_models(sd1: Model) -> None:
    wide = Image.new("RGBA", (100, 40), (255, 0, 0, 255))
    (fit,) = fitted([wide], sd1.size)
    assert (fit.size, fit.mode) == ((32, 32), "RGB")
    assert fitted([wide], (16, 48))[0].size == (48, 16)  # height first


@pytest.mark.parametrize("concept", [Concept("church"), Concept("ink", kind="style"), Concept("red", kind="colour")])
def test_the_worlds_pictures_are_ones_that_the_judge_gets_right(concept: Concept) -> None:
    shown = from_world(concept, 5, seed=1, size=32)
    assert len({image.tobytes() for image in shown}) == 5
    best = load_judge().probabilities(shown)[concept.kind].argmax(1)
    assert {ANSWERS[concept.kind][int(index)] for index in best} == {concept.text}
    assert digest_images(shown) == digest_images(from_world(concept, 5, seed=1, size=32))
    assert digest_images(shown) != digest_images(from_world(concept, 5, seed=2, size=32))


@pytest.mark.parametrize(
    ("text", "objects", "others"),
    [
        ("a church in the style of noto", {"church"}, {"style": "noto"}),  # held out of training
        ("dog and cat", {"dog", "cat"}, {}),
        ("a truck and a fish in ink style on a red background", {"truck", "fish"}, {"style": "ink", "colour": "red"}),
        ("nine lives", {"cat"}, {}),
    ],
)
def test_the_world_draws_what_is_named_together(text: str, objects: set[str], others: dict[str, str]) -> None:
    shown = from_world(world_concept(text), 2, seed=0, size=32)
    answers = EmojiJudge()(shown)
    for row in answers.iter_rows(named=True):
        assert {row["object"], row["second"]} >= objects and row["object"] in objects
        assert {kind: row[kind] for kind in others} == others


@pytest.mark.parametrize(
    ("changes", "concept", "says"),
    [
        ({"source": "world"}, Concept("dragon"), "no object 'dragon'"),
        ({"source": "world"}, Concept("quill", kind="artist"), "no artist 'quill'.*--source generated"),
        ({"draws": 0}, CHURCH, "draws is 0"),
        ({"share": 0.0}, CHURCH, "share is"),
        ({"seed": -1}, CHURCH, "seed is -1"),
        ({"guidance_scale": float("nan")}, CHURCH, "guidance_scale is nan"),
    ],
)
def test_settings_out_of_range_are_refused_before_any_work(
    sd1: Model, changes: Any, concept: Concept, says: str
) -> None:
    with count_rows(sd1) as count, pytest.raises(BadArgument, match=says):
        quick(**changes)(sd1, concept)
    assert count.rows == 0
    with count_rows(sd1) as count, pytest.raises(BadArgument, match="has a window"):
        quick(sites=sd1.sites.only(label="MID").during(0.0, 0.5))(sd1, CHURCH)
    assert count.rows == 0
    source = field_types(CADAmplify)["source"]
    assert not fits("web", source) and range_of(source) == "one of generated, world"
    with pytest.raises(BadArgument, match="one at a time"):
        quick()(sd1, [CHURCH, Concept("dog")], examples=pictures())


def test_the_defaults_are_the_published_values() -> None:
    assert (CADAmplify().share, CADAmplify().pictures, CADAmplify().source) == (0.001, 5, "generated")
    assert CADAmplify.preset("CompVis/stable-diffusion-v1-4") == CADAmplify()
    assert CADAmplify.preset("emoji").source == "world"
    assert methods.CADAmplify is CADAmplify
