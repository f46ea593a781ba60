"""What the picture reads of the text in joint attention, against a softmax written out, on toys of each family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.models import Model, Sites, hooked, sample
from turpentine.models.joint_reading import check_empty, read_empty, read_nothing
from turpentine.testing.toys import tiny_flux, toy

WITH_EMPTY = ("sd3", "schnell", "flux2", "qwen", "z")
"""Those that compute ε_∅; the others read the guidance scale."""
CASES = [*((family, True) for family in WITH_EMPTY), *((family, False) for family in (*WITH_EMPTY, "flux2-dev"))]
WITHOUT_POOLED = ("flux2", "qwen", "z")
TEXT_IS_LAST = ("sd3", "z")
PROMPTS = ["a red church", "a dog and a fish"]


@pytest.fixture(scope="module")
def model_of() -> Callable[[str], Model]:
    """The toy of a family, made once."""
    return cache(lambda family: Model(tiny_flux(distilled=False), family) if family == "schnell" else toy(family))


def joint(model: Model) -> Sites:
    return model.sites.only(kind="joint-attention", level="module")


def predicted(model: Model, prompts: Sequence[str] = PROMPTS) -> tuple[Tensor | None, Tensor]:
    """ε_∅ and ε_c at the first step, of a wide picture: as many tokens as Z-Image need not fill up."""
    size = (model.size[0], 2 * model.size[1])
    x = model.noise([0], size=size).repeat(len(prompts), 1, 1, 1)
    cond, empty = (model.encode(texts, size=size) for texts in (prompts, [""]))
    step = next(sample(model, cond, empty, x, steps=2, guidance_scale=4.0))
    return step.eps_uncond, step.eps_cond


def written_out(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, picture: slice, own: slice, text: slice | None
) -> Tensor:
    """Attention whose picture's queries, in some rows, have no keys of the text, or those of other rows."""

    def mixed(q: Tensor, k: Tensor, v: Tensor, m: Tensor | None) -> Tensor:
        agreement = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        agreement = agreement if m is None else agreement.masked_fill(~m, float("-inf"))
        return agreement.softmax(-1) @ v

    result = mixed(query, key, value, mask)
    keys, values = key[own].clone(), value[own].clone()
    columns = torch.ones(len(keys), 1, 1, key.shape[2], dtype=torch.bool) if mask is None else mask[own].clone()
    of_text = torch.ones(key.shape[2], dtype=torch.bool)
    of_text[picture] = False
    if text is None:
        columns[..., of_text] = False
    else:
        keys[:, :, of_text], values[:, :, of_text] = key[text][:, :, of_text], value[text][:, :, of_text]
        columns[..., of_text] = True if mask is None else mask[text][..., of_text]
    result[own, :, picture] = mixed(query[own, :, picture], keys, values, columns)
    return result


@contextmanager
def written_out_in(
    model: Model, family: str, sites: Sites, *, is_empty: bool, patch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Let some joint attention compute by `written_out`, by what diffusers calls in the middle of it."""
    inside: list[Any] = []

    def attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **how: Any) -> Tensor:
        if not inside:
            return plain(query, key, value, attn_mask=attn_mask, **how)
        own = inside[0].rows
        text = slice(0, len(PROMPTS)) if is_empty else None
        pixels = inside[0].kwargs.get("hidden_states")
        if inside[0].kwargs.get("encoder_hidden_states") is None:  # in one row
            count = 32 if family == "z" else pixels.shape[1] - 512
        else:
            count = pixels.shape[1]
        end = key.shape[2]
        picture = slice(0, count) if family in TEXT_IS_LAST else slice(end - count, end)
        return written_out(query, key, value, attn_mask, picture, own, text)

    plain = torch.nn.functional.scaled_dot_product_attention
    patch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    with hooked(model, {sites: lambda _: inside.clear()}, before={sites: lambda call: inside.append(call) or None}):
        yield


@pytest.mark.parametrize(("family", "is_empty"), CASES)
def test_it_is_the_softmax_without_the_text_or_with_that_of_no_words(
    family: str, is_empty: bool, model_of: Callable[[str], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first block, the last, and all; the text's own queries, and the rows of ∅, are as they were."""
    model = model_of(family)
    modules = list(joint(model))
    untouched = predicted(model)
    for some in ([modules[0]], [modules[-1]], modules):
        sites = model.sites.named([site.name for site in some])
        with hooked(model, {sites: (read_empty if is_empty else read_nothing)(model)}):
            ours = predicted(model)
        with monkeypatch.context() as patch, written_out_in(model, family, sites, is_empty=is_empty, patch=patch):
            theirs = predicted(model)
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
        assert not torch.allclose(ours[1], untouched[1], atol=1e-4, rtol=1e-3)
        if untouched[0] is not None:
            torch.testing.assert_close(ours[0], untouched[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", [*WITHOUT_POOLED, "flux2-dev"])
def test_a_picture_that_reads_nothing_is_the_same_for_every_prompt(
    family: str, model_of: Callable[[str], Model]
) -> None:
    model = model_of(family)
    _, before = predicted(model)
    with hooked(model, {joint(model): read_nothing(model)}):
        _, after = predicted(model)
    assert not torch.allclose(before[0], before[1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(after[0], after[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", WITHOUT_POOLED)
def test_a_picture_that_reads_no_words_in_all_blocks_is_that_of_the_empty_prompt(
    family: str, model_of: Callable[[str], Model]
) -> None:
    """Of prompts as long as the empty one and of longer ones, whose padding has masks or places of its own."""
    model = model_of(family)
    with hooked(model, {joint(model): read_empty(model)}):
        empty, cond = predicted(model, [*PROMPTS, " ".join(["a dog"] * 20)])
    assert empty is not None
    torch.testing.assert_close(cond, empty, atol=1e-5, rtol=1e-4)


def test_where_there_is_none_to_read_it_is_refused_by_name(model_of: Callable[[str], Model], sd1: Model) -> None:
    flux, z = model_of("flux"), model_of("z")
    with pytest.raises(BadArgument, match=r"FLUX\.1 computes guidance itself, without that text: sever with q or o\."):
        check_empty(flux, 4.0, 2)
    with pytest.raises(BadArgument, match="Z-Image computes none of it at w = 1: take another w, or sever"):
        check_empty(z, 1.0, 2)
    check_empty(z, 4.0, 2)
    with (
        pytest.raises(BadArgument, match=r"FLUX\.1 computes guidance itself"),
        hooked(flux, {joint(flux): read_empty(flux)}),
    ):
        predicted(flux)
    cross = sd1.sites.only(kind="cross-attention", level="module")
    with pytest.raises(UnsupportedModel, match="no joint attention"), hooked(sd1, {cross: read_nothing(sd1)}):
        predicted(sd1)
