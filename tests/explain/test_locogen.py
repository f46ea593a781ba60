"""Windows of layers that are told another prompt: each against the same run alone, scores by hand, what it costs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch

from turpentine.core.errors import BadArgument, EmptyConcept, UnknownName
from turpentine.explain.locogen import LocoGen, LocoGenFinding
from turpentine.judges.base import PROBABILITY, Column
from turpentine.models import Model, Site, Sites, count_rows, hooked, swap
from turpentine.models.call import Call
from turpentine.stats.intervals import Rate
from turpentine.testing.toys import toy


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


PROMPTS, SEEDS, STEPS = ["a Church and a dog", "a red church", "a Church and a dog"], [0, 1, 2], 3
LABELS = ("church", "dog", "fish")


class Sum:
    """A judge to which pictures that look alike are different things."""

    name, revision, settings, needs, download = "sum", "1", None, frozenset(), None
    columns: ClassVar = {
        "object": Column(labels=LABELS),
        "object_also": Column(labels=LABELS),
        "likeness": PROBABILITY,
    }

    def __call__(self, images, *, prompts=None, references=None) -> pl.DataFrame:
        sums = [int(np.asarray(image, dtype=np.int64).sum()) for image in images]
        also = [LABELS[total // 3 % 3] if total % 2 else None for total in sums]
        return pl.DataFrame(
            {"object": [LABELS[total % 3] for total in sums], "object_also": also, "likeness": [0.5] * len(sums)},
            schema={"object": pl.String, "object_also": pl.String, "likeness": pl.Float64},
        )


def located(model: Model, **settings) -> LocoGenFinding:
    return LocoGen(**{"width": 14, "target": "cat", "steps": STEPS, **settings})(
        model, PROMPTS, SEEDS, concept="church", judge=Sum()
    )


def layers(model: Model) -> list:
    return [site for site in model.sites if site.kind == "cross-attention" and site.level == "module"]


def test_each_window_is_told_the_prompt_with_the_target_in_the_concepts_place(sd1: Model) -> None:
    found = located(sd1)
    assert list(found.images) == ["untouched", *found.table["window"][1:]]
    assert [list(window) for window in found.windows] == [layers(sd1)[at : at + 14] for at in range(3)]
    others = sd1.encode(["a cat and a dog", "a red cat", "a cat and a dog"])
    plain = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
    changed = 0
    for window, name in zip([(), *found.windows], found.images, strict=True):
        with swap(sd1, Sites(sd1.sites.everything, tuple(window)), others):
            alone = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
        for mine, theirs, before in zip(found.images[name], alone, plain, strict=True):
            assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2
            changed = max(changed, np.abs(np.asarray(mine, int) - np.asarray(before, int)).max())
    assert changed > 5


def test_without_a_target_it_is_the_empty_prompt(sd1: Model) -> None:
    found = located(sd1, target="", width=16)
    with swap(sd1, sd1.sites.only(kind="cross-attention", level="module"), sd1.encode([""])):
        alone = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
    for mine, theirs in zip(found.images[found.table["window"][1]], alone, strict=True):
        assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2


def test_a_score_is_the_share_of_pictures_in_which_the_judge_sees_no_concept(sd1: Model) -> None:
    found = located(sd1)
    for name, pictures in found.images.items():
        said = Sum()(pictures)
        gone = ["church" not in both for both in zip(said["object"], said["object_also"], strict=True)]
        rows = found.rows.filter(pl.col("window") == name)
        assert rows.select("prompt", "seed", "gone").rows() == list(zip(PROMPTS, SEEDS, gone, strict=True))
        row = found.table.row(by_predicate=pl.col("window") == name, named=True)
        assert (row["score"], row["n"]) == (pytest.approx(sum(gone) / 3), 3)
        rate = Rate.of(gone, [(prompt,) for prompt in PROMPTS])
        assert rate is not None and (row["low"], row["high"]) == (rate.low, rate.high)
    assert 0 < found.rows["gone"].sum() < len(found.rows)


def test_the_best_windows_layers_are_its_sites(sd1: Model) -> None:
    found = located(sd1)
    scores = found.table["score"].to_list()[1:]
    best = max(range(3), key=lambda at: scores[at])  # the first of several
    assert list(found.sites(1)) == layers(sd1)[best : best + 14]
    assert list(found.sites(3)) == layers(sd1)
    with pytest.raises(BadArgument, match="top 0 windows are none"):
        found.sites(0)
    assert found.plot().get_axes()


def test_windows_and_prompts_share_calls_and_progress_counts_pictures(sd1: Model) -> None:
    def run(rows: int) -> tuple[int, int, list[tuple[int, int]]]:
        told: list[tuple[int, int]] = []
        with count_rows(sd1) as count:
            LocoGen(width=15, steps=STEPS, rows=rows)(
                sd1, PROMPTS, SEEDS, concept="church", judge=Sum(), progress=lambda *done: told.append(done)
            )
        return count.calls, count.rows, told

    rows = STEPS * len(PROMPTS) * 2 * (1 + 2)  # with ∅, and the untouched run beside two windows
    assert run(256) == (STEPS, rows, [(3, 3)])
    assert run(13) == (2 * STEPS, rows, [(2, 3), (3, 3)])
    assert run(1) == (3 * STEPS, rows, [(1, 3), (2, 3), (3, 3)])


def test_every_layer_of_a_larger_model_is_a_window_of_its_own(sdxl: Model) -> None:
    found = located(sdxl, width=1)
    assert len(found.images) == 1 + len(layers(sdxl)) == 1 + len(found.windows)


def test_the_judges_label_may_be_another_word_than_the_prompts(sd1: Model) -> None:
    asked = LocoGen(width=16, steps=STEPS)
    found = asked(sd1, "a red church", SEEDS, concept="red church", judge=Sum(), label="fish")
    said = Sum()(found.images["untouched"])
    assert found.rows["gone"].to_list()[:3] == [
        "fish" not in both for both in zip(said["object"], said["object_also"], strict=True)
    ]


@pytest.mark.parametrize(
    ("settings", "prompt", "concept", "error", "told"),
    [
        ({"width": 0}, "a church", "church", BadArgument, "LocoGen's width is 0: give 1 or more"),
        ({"width": 17}, "a church", "church", BadArgument, "no window of 17 layers: give 1 to 16"),
        ({}, "a church", "churches", BadArgument, "did you mean 'church'"),
        ({"column": "likeness"}, "a church", "church", BadArgument, "sum's likeness is no label"),
        ({"column": "hue"}, "a church", "church", UnknownName, "no column 'hue'"),
        ({}, "a dog", "church", EmptyConcept, "'church' is not in"),
        ({}, "a dog " * 8 + "a church", "church", BadArgument, "would be cut off"),
        ({"target": "dog " * 14}, "a red church", "church", BadArgument, "would be cut off"),
    ],
)
def test_what_cannot_be_located_is_told_before_anything_is_drawn(
    sd1: Model, settings: dict, prompt: str, concept: str, error: type[Exception], told: str
) -> None:
    with count_rows(sd1) as count, pytest.raises(error, match=told):
        LocoGen(**settings)(sd1, prompt, 0, concept=concept, judge=Sum())
    assert count.calls == 0


def drawn_with(model: Model, blocks: set[str], prompt: str, target: str, seed: int) -> None:
    """Draw by sampling twice: keys and values of the text in some blocks are those of the target's own run."""
    kept: dict[tuple[str, int], torch.Tensor] = {}
    layers = model.sites.only(kind="joint-attention", level="layer", role=("key", "value"))

    def text_of(site: Site) -> slice:
        """A single block of FLUX.1 has 512 tokens of text before the picture's."""
        return slice(0, 512) if "single_" in site.name else slice(None)

    def keep(call: Call) -> None:
        assert call.moment is not None
        kept[call.site.name, call.moment.index] = call.output[call.rows, text_of(call.site)].clone()

    def give(call: Call) -> torch.Tensor | None:
        assert call.moment is not None
        if call.site.label not in blocks:
            return None
        output: torch.Tensor = call.output.clone()
        output[call.rows, text_of(call.site)] = kept[call.site.name, call.moment.index]
        return output

    for words, hook in ((target, keep), (prompt, give)):
        with hooked(model, {layers: hook}):
            model.generate(words, seeds=seed, steps=STEPS, guidance_scale=4.0)


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_blocks_of_joint_attention_read_another_prompts_run(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the latents, in single blocks, too; beside the prompt's own run, which is the plain picture."""
    model, decoded = toy(family), list[torch.Tensor]()
    labels = [site.label for site in model.sites.only(kind="joint-attention", level="module")]
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda latents: decoded.append(latents) or decode(latents))
    prompts, asked = ["a church and a dog", "a red church"], LocoGen(1, "cat", steps=STEPS)
    with count_rows(model) as count:
        found = asked(model, prompts, [0, 1], concept="church", judge=Sum())
    assert count.rows == asked.runs(model) * STEPS * 2 * (2 if family == "sd3" else 1)  # FLUX.1 dev reads no ∅
    assert asked.runs(model) == len(labels) + 2
    assert list(found.images) == ["untouched", *labels] == found.table["window"].to_list()
    drawn, plain = decoded[1:], decoded[1][1]  # the first are of the target's own run
    for latents, blocks in zip(drawn, [set[str](), *({label} for label in labels)], strict=True):
        drawn_with(model, blocks, prompts[1], "a red cat", 1)
        change = latents[1] - plain
        expected = decoded[-1][0] - plain
        assert (change - expected).abs().max() < 1e-5 + 0.01 * expected.abs().max()
        assert not blocks or expected.abs().max() > 1e-4, "the words in a block change something"


def test_a_mask_of_padding_asks_for_a_target_of_as_many_tokens() -> None:
    with pytest.raises(BadArgument, match="give a target as long as the concept"):
        LocoGen(1)(toy("qwen"), "a church", 0, concept="church", judge=Sum())
