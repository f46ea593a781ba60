import hashlib
import random

import numpy as np
import pytest
import torch

from turpentine.core.errors import BadWindow, UnknownName
from turpentine.core.random_state import preserved_rng, random_states
from turpentine.models import Site, Sites, hooked, record, sample, sever, swap


@pytest.fixture
def sd1(whole_sd1):
    whole_sd1.encode([""])  # transformers leaves hooks of its own on an encoder in its first call
    return whole_sd1


def cross_attention(model, **narrower):
    return model.sites.only(kind="cross-attention", level="module", **narrower)


def state(model):
    """All that must be as before: every module's dicts, the weights, torch's and NumPy's global random states.

    Python's own state cannot be asked for here, since the checks of types that tests run with draw from it.
    """
    dicts = {
        (component, name): {key: _frozen(value) for key, value in module.__dict__.items()}
        for component, whole in model.components.items()
        for name, module in whole.named_modules()
    }
    weights = hashlib.sha256()
    for whole in model.components.values():
        for weight in whole.parameters():
            weights.update(weight.detach().numpy().tobytes())
    return dicts, weights.hexdigest(), random_states()


def draw():
    """Move on all global random states."""
    torch.rand(3)
    np.random.rand()
    random.random()


def _frozen(value):
    return dict(value) if isinstance(value, dict) else repr(value)


def run(model, prompt, steps=4):
    conditioned = model.encode([prompt]), model.encode([""])
    return list(sample(model, *conditioned, model.noise([0]), steps=steps, guidance_scale=4.0))


def test_on_leaving_all_is_as_before(sd1):
    before = state(sd1)
    with hooked(sd1, {sd1.sites: lambda call: None}, before={sd1.sites: lambda call: None}):
        assert state(sd1)[0] != before[0]
        draw()
        sd1.eps(sd1.noise([0]), 1, sd1.encode([""]))
    assert state(sd1) == before


def test_global_random_states_are_kept():
    def states():
        _, words, position, *_ = np.random.get_state()
        return random.getstate(), (words.tolist(), position), torch.get_rng_state().tolist()

    context = preserved_rng()
    before = states()
    with context:
        draw()
        assert all(now != then for now, then in zip(states(), before, strict=True))
    assert states() == before


def test_after_an_error_in_the_block_all_is_as_before(sd1):
    before = state(sd1)

    def fail(call):
        draw()
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), hooked(sd1, {cross_attention(sd1): fail}):
        sd1.eps(sd1.noise([0]), 1, sd1.encode([""]))
    assert state(sd1) == before


@pytest.mark.parametrize("where", ["after", "before"])
def test_after_an_error_half_way_through_putting_them_on_all_is_as_before(sd1, where):
    before = state(sd1)
    known = cross_attention(sd1)
    lost = Site("unet.no.such", "cross-attention", "", 8, "module")
    sites = Sites(known.everything, (*known.chosen[:3], lost, *known.chosen[3:]))
    on = {sites: lambda call: None}
    context = hooked(sd1, on) if where == "after" else hooked(sd1, {known: lambda call: None}, before=on)
    with pytest.raises(UnknownName, match=r"unet\.no\.such"), context:
        pytest.fail("the block must not begin")
    assert state(sd1) == before


def test_a_function_sees_the_call_and_may_change_the_output(sd1):
    site = next(iter(cross_attention(sd1, label="MID")))
    x, cond = sd1.noise([0, 1]), sd1.encode(["a dog", "a cat"])
    calls = []

    def double(call):
        calls.append(call)
        return call.output * 2

    plain = sd1.eps(x, 500, cond)
    with hooked(sd1, {site: double}):
        changed = sd1.eps(x, 500, cond)
    assert not torch.allclose(plain, changed)
    assert torch.equal(sd1.eps(x, 500, cond), plain)
    (call,) = calls
    assert call.site == site
    assert call.module is sd1.module(site.name)
    assert torch.equal(call.kwargs["encoder_hidden_states"], cond.hidden)
    assert call.output.shape == (2, 1, 32)
    assert call.moment is None


def test_severed_everywhere_a_prompt_has_no_say(sd1):
    with sever(sd1, cross_attention(sd1)):
        church, dog = (run(sd1, prompt) for prompt in ("a church", "a dog"))
    for one, other in zip(church, dog, strict=True):
        assert torch.equal(one.eps_cond, other.eps_cond)


def test_severing_acts_on_the_conditional_rows_only(sd1):
    plain = run(sd1, "a church")[0]
    with sever(sd1, cross_attention(sd1)):
        severed = run(sd1, "a church")[0]
    torch.testing.assert_close(severed.eps_uncond, plain.eps_uncond)
    assert not torch.allclose(severed.eps_cond, plain.eps_cond, atol=1e-4)


def test_a_window_opens_and_shuts(sd1):
    plain = run(sd1, "a church")
    with sever(sd1, cross_attention(sd1).during(0.5, 1)):
        late = run(sd1, "a church")
    for index in (0, 1):
        assert torch.equal(late[index].eps_cond, plain[index].eps_cond)
    assert not torch.allclose(late[2].eps_cond, plain[2].eps_cond, atol=1e-4)


def test_a_window_needs_a_sampler(sd1):
    with sever(sd1, cross_attention(sd1).during(0, 0.5)), pytest.raises(BadWindow, match="only a sampler"):
        sd1.eps(sd1.noise([0]), 500, sd1.encode([""]))


def test_swapped_for_the_empty_prompt_the_conditional_rows_are_the_others(sd1):
    with swap(sd1, cross_attention(sd1), sd1.encode([""])):
        swapped = run(sd1, "a church")
    for step in swapped:
        torch.testing.assert_close(step.eps_cond, step.eps_uncond)


def test_swapping_part_of_the_modules_is_neither(sd1):
    church, dog = (run(sd1, prompt)[0].eps_cond for prompt in ("a church", "a dog"))
    with swap(sd1, cross_attention(sd1, label="UP*"), sd1.encode(["a dog"])):
        mixed = run(sd1, "a church")[0].eps_cond
    assert not torch.allclose(mixed, church, atol=1e-5)
    assert not torch.allclose(mixed, dog, atol=1e-5)


def test_a_record_keeps_the_conditional_rows_of_each_step(sd1):
    sites = cross_attention(sd1, label=["DOWN1", "MID"])
    with record(sd1, sites.during(0.25, 1)) as kept:
        run(sd1, "a church")
    shapes = {name: [tuple(output.shape) for output in outputs] for name, outputs in kept.outputs.items()}
    assert shapes == dict(zip([site.name for site in sites], [[(1, 64, 8)] * 3, [(1, 1, 32)] * 3], strict=True))


def test_text_encoders_can_be_hooked_too(sd1):
    plain = sd1.encode(["a church"]).hidden
    with sever(sd1, sd1.sites.only(kind="text-attention", level="module", label="TEXT1")):
        assert not torch.allclose(sd1.encode(["a church"]).hidden, plain)
    assert torch.equal(sd1.encode(["a church"]).hidden, plain)
