"""Causal tracing against a plain transcription: record, corrupt, put back, one component and one picture at a time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from explain.brightness import Brightness
from PIL import Image

from turpentine.core.errors import BadArgument, EmptyConcept, UnknownName
from turpentine.explain.trace import Trace
from turpentine.judges import EmojiJudge
from turpentine.judges.base import Column
from turpentine.models import Model, count_rows, record, sample
from turpentine.models.text import find_subject
from turpentine.stats.intervals import Rate, paired_bootstrap, wilson

PROMPT, SUBJECT, SEED, STEPS = "a dog and a church", "church", 3, 2


def corrupted_states(model: Model, noise: float, restore=None) -> torch.Tensor:
    """The text encoder by hand: embeddings replaced, and one module's output at the subject's last token put back."""
    places = find_subject(model.pipeline.tokenizer, PROMPT, SUBJECT, length=model.encode([""]).hidden.shape[1])
    encoder = model.pipeline.text_encoder
    inner = getattr(encoder, "text_model", encoder)
    handles = []
    if restore is not None:
        with record(model, restore) as clean:
            model.encode([PROMPT])
        kept = clean.outputs[restore.name][0]

        def put_back(module, args, output):
            tensor = (output[0] if isinstance(output, tuple) else output).clone()
            tensor[:, places.last] = kept[:, places.last]
            return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

        handles.append(model.module(restore.name).register_forward_hook(put_back))
    embedding = inner.embeddings.token_embedding
    scale = noise * embedding.weight.float().std().item()
    drawn = np.random.default_rng((0, SEED)).normal(0, scale, (len(places.subject), embedding.weight.shape[1]))

    def spoil(module, args, output):
        output = output.clone()
        for row, at in enumerate(places.subject):
            output[0, at] = torch.from_numpy(drawn[row]).to(output)
        return output

    handles.append(embedding.register_forward_hook(spoil))
    try:
        return model.encode([PROMPT])
    finally:
        for handle in handles:
            handle.remove()


def drawn(model: Model, cond) -> Image.Image:
    run = sample(model, cond, model.encode([""]), model.noise([SEED]), steps=STEPS, guidance_scale=4.0)
    return model.decode(list(run)[-1].x_next)[0]


def score(image: Image.Image) -> float:
    return Brightness()([image])["brightness"][0]


def trace(model: Model, where: str, **settings):
    return Trace(where, "brightness", noise=2.0, steps=STEPS, **settings)(
        model, PROMPT, SEED, concept=SUBJECT, judge=Brightness()
    )


def test_the_text_encoders_components_against_the_plain_way(emoji: Model) -> None:
    found = trace(emoji, "text")
    corrupted = score(drawn(emoji, corrupted_states(emoji, 2.0)))
    assert found.clean.value == pytest.approx(score(drawn(emoji, emoji.encode([PROMPT]))), abs=0.2)
    assert found.corrupted.value == pytest.approx(corrupted, abs=0.2)
    assert abs(found.clean.value - corrupted) > 1
    assert found.table["effect"].abs().max() > 1
    components = [s for s in emoji.sites if s.kind in ("text-attention", "text-mlp") and s.level == "module"]
    assert found.table["site"].to_list() == [site.name for site in components]
    for site, effect in zip(components, found.table["effect"], strict=True):
        restored = score(drawn(emoji, corrupted_states(emoji, 2.0, site)))
        assert effect == pytest.approx(restored - corrupted, abs=0.1)


def test_the_denoisers_components_against_the_plain_way(emoji: Model) -> None:
    found = trace(emoji, "denoiser")
    cond, empty = corrupted_states(emoji, 2.0), emoji.encode([""])
    corrupted = score(drawn(emoji, cond))
    components = [
        s
        for s in emoji.sites
        if s.level == "module"
        and s.name.startswith("unet.")
        and s.kind in ("resnet", "self-attention", "cross-attention", "feed-forward")
    ]
    assert found.table["site"].to_list() == [site.name for site in components]
    for site in components[::5]:
        with record(emoji, site) as kept:
            list(sample(emoji, emoji.encode([PROMPT]), empty, emoji.noise([SEED]), steps=STEPS, guidance_scale=4.0))
        outputs = iter(kept.outputs[site.name])

        def put(module, args, output, outputs=outputs):
            output = output.clone()
            output[1:] = next(outputs)
            return output

        handle = emoji.module(site.name).register_forward_hook(put)
        restored = score(drawn(emoji, cond))
        handle.remove()
        effect = found.table.row(by_predicate=pl.col("site") == site.name, named=True)["effect"]
        assert effect == pytest.approx(restored - corrupted, abs=0.1)


def test_runs_of_one_picture_share_calls(sd1: Model) -> None:
    components = [s for s in sd1.sites if s.level == "module" and s.kind in ("text-attention", "text-mlp")]
    with count_rows(sd1) as count:
        together = trace(sd1, "text")
    assert (count.calls, count.rows) == (STEPS, STEPS * 2 * (2 + len(components)))
    with count_rows(sd1) as count:
        apart = trace(sd1, "text", rows=4)
    assert count.calls == STEPS * (1 + len(components))
    assert apart.table["effect"].to_list() == pytest.approx(together.table["effect"].to_list(), abs=0.4)


def test_sdxl_is_traced_in_both_encoders(sdxl: Model) -> None:
    found = trace(sdxl, "text")
    assert {name.split(".")[0] for name in found.table["site"]} == {"text_encoder", "text_encoder_2"}


def test_a_label_is_scored_by_whether_it_is_what_was_wanted(emoji: Model) -> None:
    found = Trace("text", steps=5)(
        emoji, ["a church in noto style", "a dog"], [0, 1], concept=["church", "dog"], judge=EmojiJudge()
    )
    assert set(found.table["restored"].to_list()) <= {0.0, 0.5, 1.0}
    assert found.clean.value > found.corrupted.value
    assert found.table["n"].to_list() == [2] * len(found.table)
    clean, corrupted = (round(2 * each.value) for each in (found.clean, found.corrupted))
    assert (found.clean.low, found.clean.high) == wilson(clean, 2)
    assert (found.corrupted.low, found.corrupted.high) == wilson(corrupted, 2)
    assert found.plot().get_axes()


class Numbered:
    """A judge to which every picture is what its place in the list says; a picture may be a second thing."""

    name, revision, settings, needs, download = "numbered", "1", None, frozenset(), None
    columns: ClassVar = {"shade": Column(labels=("dark", "light")), "shade_also": Column(labels=("dark", "light"))}

    def __init__(self, hits: list[list[bool]], column: str) -> None:
        self.hits, self.column = iter(hits), column

    def __call__(self, images, *, prompts=None, references=None) -> pl.DataFrame:
        assert prompts == ["light"] * len(images)
        said = {"shade": ["dark"] * len(images), "shade_also": [None] * len(images)}
        said[self.column] = ["light" if hit else "dark" for hit in next(self.hits)]
        return pl.DataFrame(said, schema={"shade": pl.String, "shade_also": pl.String})


@pytest.mark.parametrize("column", ["shade", "shade_also"])
def test_a_labels_effects_are_differences_of_rates_over_the_same_pictures(sd1: Model, column: str) -> None:
    hits = np.random.default_rng(0).random((6, 2 + len(Trace("text").components(sd1)))) > 0.5
    hits[:, 3], hits[:, 4] = hits[:, 1], True
    found = Trace("text", "shade", steps=1)(
        sd1, PROMPT, list(range(6)), concept=SUBJECT, judge=Numbered(hits.tolist(), column), label="light"
    )
    for row, restored in zip(found.table.rows(named=True), hits[:, 2:].T, strict=True):
        assert (row["effect"], row["low"], row["high"]) == paired_bootstrap(hits[:, 1].tolist(), restored.tolist())
    assert (found.clean, found.corrupted) == (Rate.of(hits[:, 0].tolist()), Rate.of(hits[:, 1].tolist()))
    assert found.table["low"][1] < 0 < found.table["high"][1], "nothing changed in six pictures, and may in others"


def test_the_best_site_is_that_of_the_largest_effect(emoji: Model) -> None:
    found = trace(emoji, "text")
    effects = found.table["effect"].to_list()
    best = max(range(len(effects)), key=effects.__getitem__)
    assert effects[best] > 0
    assert [site.name for site in found.sites(top=1)] == [found.table["site"][best]]
    ranked = sorted(range(len(effects)), key=effects.__getitem__, reverse=True)[:3]
    assert {site.name for site in found.sites(top=3)} == {found.table["site"][at] for at in ranked}


def test_what_cannot_be_traced_is_told(sd1: Model) -> None:
    with pytest.raises(EmptyConcept, match="'castle' is not in"):
        Trace("text", "brightness")(sd1, PROMPT, 0, concept="castle", judge=Brightness())
    with pytest.raises(UnknownName, match="brightness has no column 'hue'"):
        Trace("text", "hue")(sd1, PROMPT, 0, concept=SUBJECT, judge=Brightness())
    with pytest.raises(BadArgument, match=r"noise is 0\.0: give a finite number, over 0"):
        Trace("text", "shade", noise=0.0)(sd1, PROMPT, 0, concept=SUBJECT, judge=Brightness())
    with pytest.raises(BadArgument, match="3 concepts and 2 pictures"):
        Trace("text", "shade")(sd1, PROMPT, [0, 1], concept=["church"] * 3, judge=Brightness())
    with pytest.raises(BadArgument, match="brightness never says 'church' in shade: there are dark, light"):
        Trace("text", "shade")(sd1, PROMPT, 0, concept=SUBJECT, judge=Brightness())
    with pytest.raises(BadArgument, match="never says 'lite' in shade: did you mean 'light'"):
        Trace("text", "shade")(sd1, PROMPT, [0, 1], concept=SUBJECT, judge=Brightness(), label=["dark", "lite"])
    with pytest.raises(BadArgument, match="would be cut off"):
        Trace("text", "brightness")(sd1, "a dog " * 9 + "church", 0, concept=SUBJECT, judge=Brightness())
