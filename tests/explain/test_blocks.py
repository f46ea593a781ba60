"""What a concept's words add in each block, and what other words do there, on toys of each family."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.explain.blocks import ALL, LEAST, MOST, OTHER, UNTOUCHED, Blocks, BlocksFinding
from turpentine.judges.base import Column
from turpentine.models import Model, hooked, sample
from turpentine.testing.toys import toy

POOLED = ("sd3", "flux", "sdxl")
"""Families that read a pooled vector, too, which no block's keys and values hold."""


class Red:
    """A judge that says by the mean of a picture's first channel."""

    name, revision, settings, needs, download = "red", "1", None, frozenset(), None
    columns: ClassVar = {"shade": Column(labels=("dark", "light"))}

    def __call__(self, images: Any, *, prompts: Any = None, references: Any = None) -> pl.DataFrame:
        means = [float(np.asarray(image)[..., 0].mean()) for image in images]
        return pl.DataFrame({"shade": ["light" if mean > 127 else "dark" for mean in means]})


def measured(model: Model, prompt: str = "a red church", **settings: Any) -> BlocksFinding:
    instrument = Blocks(**{"top": 1, "target": "fish", "column": "shade", "steps": 2, **settings})
    return instrument(model, prompt, [0, 1], concept="church", label="light", judge=Red())


@pytest.mark.parametrize("family", ["sd1", "pixart", "sd3", "flux", "flux2", "flux2-dev", "qwen", "z"])
def test_other_words_in_all_blocks_are_another_prompt(family: str) -> None:
    """In one row of tokens, too; where nothing else of the text is read, to the last picture."""
    model = toy(family)
    finding = measured(model)
    drawn = {name: [np.asarray(image, dtype=int) for image in images] for name, images in finding.images.items()}
    plain = model.generate(["a red church"] * 2, seeds=[0, 1], steps=2, guidance_scale=4.0)
    assert all(
        np.abs(one - np.asarray(two, dtype=int)).max() <= 1 for one, two in zip(drawn[UNTOUCHED], plain, strict=True)
    )
    apart = [np.abs(one - two).max() for one, two in zip(drawn[ALL], drawn[OTHER], strict=True)]
    assert max(apart) <= 1 or family in POOLED
    attention = [
        site for site in model.sites if site.kind.startswith(("cross-a", "joint-a")) and site.level == "module"
    ]
    assert finding.table["label"].to_list() == [site.label for site in attention]
    assert (finding.table["score"] > 0).all() and finding.table["n"].to_list() == [2] * len(attention)


def test_the_same_words_change_nothing(sd3: Model) -> None:
    finding = measured(sd3, target="church")
    for name in (MOST, LEAST, ALL, OTHER):
        for one, two in zip(finding.images[name], finding.images[UNTOUCHED], strict=True):
            assert np.abs(np.asarray(one, dtype=int) - np.asarray(two, dtype=int)).max() <= 1


@pytest.fixture(scope="module")
def sd3() -> Model:
    """Shared, so leave it as it was."""
    return toy("sd3")


def test_a_score_is_what_the_words_add(sd3: Model) -> None:
    """Written out: ‖Σ_j a_ij·W_O·v_j‖ over the concept's tokens of CLIP and of T5, mean over the picture and steps."""
    finding = measured(sd3)
    hidden = [each for each in sd3.readings if each.what == "hidden"]
    tokens = [each.start + token for each in hidden for token in each.find("a red church", "church").subject]
    assert len(tokens) == 2
    totals: dict[str, torch.Tensor] = {}

    def add(call: Any) -> None:
        attn = call.module
        pixels, text = (call.kwargs[key][call.rows] for key in ("hidden_states", "encoder_hidden_states"))

        def heads(x: torch.Tensor, norm: Any = None) -> torch.Tensor:
            split = x.unflatten(2, (attn.heads, -1)).transpose(1, 2)
            return split if norm is None else norm(split)

        query = heads(attn.to_q(pixels), attn.norm_q)
        keys = [heads(attn.to_k(pixels), attn.norm_k), heads(attn.add_k_proj(text), attn.norm_added_k)]
        joint = (query @ torch.cat(keys, dim=2).transpose(-1, -2) / 8**0.5).softmax(-1)
        of_text = joint[..., pixels.shape[1] :][..., tokens]
        mixed = (of_text @ heads(attn.add_v_proj(text))[:, :, tokens]).transpose(1, 2).flatten(2)
        norms = (mixed @ attn.to_out[0].weight.T).norm(dim=-1).mean(dim=-1)
        totals[call.site.name] = totals.get(call.site.name, 0) + norms

    x, sites = sd3.noise([0, 1]), sd3.sites.only(kind="joint-attention", level="module")
    with torch.no_grad(), hooked(sd3, {sites: add}):
        for _ in sample(sd3, sd3.encode(["a red church"] * 2), sd3.encode([""]), x, steps=2, guidance_scale=4.0):
            pass
    expected = [float(total.mean()) / 2 for total in totals.values()]
    np.testing.assert_allclose(finding.table["score"].to_list(), expected, rtol=1e-4)


def test_the_check_is_of_the_first_and_the_last_and_sites_are_the_best(sd3: Model) -> None:
    finding = measured(sd3)
    ranked = finding.table.sort("score", descending=True)["label"].to_list()
    check = {row["blocks"]: row for row in finding.check.rows(named=True)}
    assert list(check) == [UNTOUCHED, MOST, LEAST, ALL, OTHER]
    assert (check[MOST]["labels"], check[LEAST]["labels"]) == (ranked[0], ranked[-1])
    assert [site.label for site in finding.sites(1)] == ranked[:1]
    assert f"In {ranked[0]} the concept's words add most" in finding.summary()


def test_what_cannot_be_asked_is_refused(sd3: Model) -> None:
    with pytest.raises(BadArgument, match="There are no 3 blocks to choose: give 1 to 2"):
        measured(sd3, top=3)
    with pytest.raises(EmptyConcept, match="'church' is not in"):
        measured(sd3, prompt="a dog")
    with pytest.raises(BadArgument, match="give a target as long as the concept"):
        measured(toy("pixart"), target="red dog")
    with pytest.raises(BadArgument, match="There are 3 concepts or labels for 1 pictures"):
        Blocks(steps=1)(sd3, "a dog", 0, concept=["dog"] * 3, judge=Red())
