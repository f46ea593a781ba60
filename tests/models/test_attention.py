"""The probabilities of cross-attention: what the module gives follows from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from turpentine.models import Call, Model, attention, hooked, sample
from turpentine.models.attention import grid
from turpentine.testing.toys import toy


def run(model: Model, function, prompts=("a church", "a dog")) -> None:
    cond, empty = model.encode(list(prompts)), model.encode([""])
    sites = model.sites.only(kind="cross-attention", level="module")
    with hooked(model, {sites: function}):
        list(sample(model, cond, empty, model.noise(range(len(prompts))), steps=1, guidance_scale=4.0))


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl"])
def test_values_weighed_by_them_are_the_modules_output(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    seen = []

    def check(call) -> None:
        found = torch.cat([part for _, part in model.attention(call)], dim=1)
        torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:3]))
        module, text = call.module, call.kwargs["encoder_hidden_states"][call.rows]
        value = module.to_v.forward(text).unflatten(-1, (module.heads, -1)).transpose(1, 2)
        mixed = (found.to(value) @ value).transpose(1, 2).flatten(2)
        expected = module.to_out[0].forward(mixed)
        torch.testing.assert_close(expected, call.output[call.rows], rtol=1e-3, atol=1e-4)
        seen.append(call.site.name)

    run(model, check)
    assert len(seen) == len(model.sites.only(kind="cross-attention", level="module"))


def test_chunks_change_nothing_and_bound_what_is_held(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts, sizes = [], [], []

    def keep(call) -> None:
        whole.append(torch.cat([part for _, part in sd1.attention(call)], dim=1))
        with monkeypatch.context() as context:
            context.setattr(attention, "CHUNK", 1)
            found = list(sd1.attention(call))
        parts.append(torch.cat([part for _, part in found], dim=1))
        sizes.extend(part.shape[1] for _, part in found)

    run(sd1, keep)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert set(sizes) == {1}, "a head at a time"


def test_a_grid_is_halved_as_the_denoiser_halves() -> None:
    assert [grid(n, 8, 12) for n in (96, 24, 6)] == [(8, 12), (4, 6), (2, 3)]
    assert grid(6, 9, 5) == (3, 2), "odd sides are rounded up: 9 × 5, 5 × 3, 3 × 2"
    with pytest.raises(ValueError, match="7 pixels"):
        grid(7, 8, 8)


@pytest.mark.parametrize("family", ["sd3", "flux"])
@torch.no_grad()
def test_of_joint_attention_padding_has_no_order(family: str) -> None:
    """Tokens of the text have no places there: with the padding in another order all else is as it was."""
    model = toy(family)
    cond, x = model.encode(["a red church"]), model.noise([0])
    end = model.text.find("a red church").end + 1
    order = [*range(end), *reversed(range(end, model.readings[0].text.length))]
    order += range(len(order), cond.hidden.shape[1])
    modules = model.sites.only(kind="joint-attention", level="module")
    outputs, shares = [], []
    for given in (cond, replace(cond, hidden=cond.hidden[:, order])):
        calls: list[Call] = []
        with hooked(model, {modules: calls.append}):
            outputs.append(model.followed(x, 500, given))
        whole = [torch.cat([each for _, each in model.attention(call)], dim=1) for call in calls]
        shares.append(torch.stack(whole)[..., :end])
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(*shares, atol=1e-6, rtol=1e-4)
