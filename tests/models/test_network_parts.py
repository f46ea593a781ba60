"""The walk over a network's modules and weights, held against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from turpentine.models import Model
from turpentine.models.network_parts import named_parts, named_weights, number_formats


def shared() -> nn.Module:
    """A network that has a layer twice, a weight twice, a module that is None, and a buffer of whole numbers."""
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)
    other.weight = layer.weight
    network = nn.ModuleDict({"b": nn.Sequential(layer, nn.BatchNorm1d(2)), "a": nn.Sequential(layer, other)})
    network.register_module("nothing", None)
    return network


@pytest.fixture(params=["shared", "unet", "text_encoder"])
def network(request: pytest.FixtureRequest, sd1: Model) -> nn.Module:
    return shared() if request.param == "shared" else sd1.components[request.param]


def test_the_walk_is_torchs_own(network: nn.Module) -> None:
    parts = [(path.removesuffix("."), part) for path, part in named_parts(network)]
    assert parts == list(network.named_modules())
    assert [name for name, _ in named_weights(network)] == [name for name, _ in network.named_parameters()]
    assert all(one is other for (_, one), other in zip(named_weights(network), network.parameters(), strict=True))


def test_formats_are_those_of_weights_and_buffers(network: nn.Module) -> None:
    assert number_formats(network) == {str(each.dtype) for each in (*network.parameters(), *network.buffers())}
    assert number_formats(shared().to(torch.float16)) == {"torch.float16", "torch.int64"}
