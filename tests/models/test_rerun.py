"""A call that begins at a module gives to the bit what the whole call gives, and computes nothing twice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from turpentine.models import Model, hooked
from turpentine.models.call import Call
from turpentine.models.rerun import Rerun
from turpentine.models.sites import Site
from turpentine.testing.toys import TOYS, TRANSFORMERS, toy

FAMILIES = [*TOYS, *TRANSFORMERS]


def doubled(call: Call) -> object:
    return call.with_tensor(2 * call.tensor)


def predicted(model: Model) -> Tensor:
    x, cond = model.noise([0, 1]), model.encode(["a church", "a dog"])
    with torch.no_grad():
        return model.eps(x, torch.tensor([3, 7]), cond)


def sites_of(model: Model) -> list[Site]:
    return list(model.sites.only(component="denoiser", level="module"))


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_to_the_bit_what_the_whole_call_gives(name: str) -> None:
    model = toy(name)
    rerun, sites = Rerun(model), sites_of(model)
    with rerun.remembered():
        plain = predicted(model)
    forwards = {module: "forward" in vars(module) for module in model.denoiser.modules()}
    for site in (sites[0], *sites[1:-1:5], sites[-1]):
        with hooked(model, {site: doubled}):
            whole = predicted(model)
            with rerun.from_site(site):
                assert torch.equal(predicted(model), whole)
    assert torch.equal(predicted(model), plain)
    assert {module: "forward" in vars(module) for module in model.denoiser.modules()} == forwards


def test_what_ended_before_the_site_does_not_run_and_all_else_does() -> None:
    model = toy("sd1")
    rerun, sites = Rerun(model), sites_of(model)
    with rerun.remembered():
        predicted(model)
    computed: list[nn.Module] = []
    resnets = [[site, model.module(site.path).conv1] for site in sites if site.kind == "resnet"]
    for _, inside in resnets:
        inside.register_forward_hook(lambda module, args, output: computed.append(module))
    late = len(resnets) // 2
    with rerun.from_site(resnets[late][0]):
        predicted(model)
    assert computed == [inside for _, inside in resnets[late:]]


def test_where_a_module_runs_twice_nothing_after_its_first_run_is_taken_for_known() -> None:
    model = toy("sd1")
    middle = model.denoiser.mid_block
    middle.resnets[1] = middle.resnets[0]  # what is between them hangs on the first run
    shared = next(site for site in sites_of(model) if site.path.endswith("mid_block.resnets.0"))
    rerun = Rerun(model)
    with rerun.remembered():
        predicted(model)
    with hooked(model, {shared: doubled}):
        whole = predicted(model)
        with rerun.from_site(shared):
            assert torch.equal(predicted(model), whole)


def test_a_module_that_runs_twice_runs_again() -> None:
    model = toy("sd1")
    site, rerun = sites_of(model)[-1], Rerun(model)
    with rerun.remembered():
        predicted(model)
    with rerun.from_site(site):
        assert "forward" in vars(model.denoiser.conv_in)
    with rerun.remembered():
        predicted(model)
        last = predicted(model)
    with rerun.from_site(site):
        assert "forward" not in vars(model.denoiser.conv_in)
        assert torch.equal(predicted(model), last)
