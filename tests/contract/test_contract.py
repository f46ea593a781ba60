"""The contract itself: it passes a good method, finds each fault of a bad one, and is kept by every method there is."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, NotFinite
from turpentine.core.plugins import METHODS, plugins
from turpentine.edits import Edit, Provenance
from turpentine.erase.common import as_concepts, provenance_of
from turpentine.models import Model, Sites
from turpentine.testing.contracts import MethodContract, make
from turpentine.testing.toys import tiny_sd1

NAME = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight"


@dataclass(frozen=True)
class Shrink:
    """A method that keeps the contract: it makes a weight smaller, by the number of letters in the concepts."""

    share: float = 0.1
    sites: str | Sites = "MID"

    def __call__(self, model: Model, concept: Concept | Sequence[Concept], **_: Any) -> Edit:
        concepts = as_concepts(concept, model)
        if isinstance(self.sites, Sites):
            self.sites.only(level="layer")
        weight = model.parameter(NAME).detach().float()
        if not torch.isfinite(weight).all():
            raise NotFinite(f"{NAME} is NaN.")
        share = self.share * sum(len(one.text) for one in concepts)
        return Edit({NAME: -share * weight}, provenance_of(self, model, concepts))


class TestShrink(MethodContract):
    def method(self) -> Shrink:
        return Shrink()

    def promised(self, model: Model) -> Collection[str]:
        return {NAME}


class Meddling(Shrink):
    """Leaves a trace in the model."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        model.denoiser.conv_out.bias.data += 1
        return super().__call__(model, concept)


class Drawing(Shrink):
    """Draws from the global generator."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        edit = super().__call__(model, concept)
        return Edit({NAME: edit.deltas[NAME] * torch.rand(())}, edit.provenance)


class Idle(Shrink):
    """Changes nothing."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        edit = super().__call__(model, concept)
        return Edit({NAME: 0 * edit.deltas[NAME]}, edit.provenance)


class Silent(Shrink):
    """Says nothing of what it did."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        return Edit(super().__call__(model, concept).deltas, Provenance())


class Sprawling(Shrink):
    """Changes more than it promised."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        edit = super().__call__(model, concept)
        name = "unet.conv_in.bias"
        return Edit({**edit.deltas, name: torch.ones_like(model.parameter(name))}, edit.provenance)


class Careless(Shrink):
    """Takes whatever it is given, and gives an edit."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        return Edit({NAME: -0.1 * torch.ones_like(model.parameter(NAME))}, Provenance(base=model.fingerprint))


class Vague(Shrink):
    """Refuses an empty selection as if it were any other fault."""

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        if not len(self.sites):
            raise BadArgument("Something is amiss.")
        return super().__call__(model, concept)


class Hasty(Shrink):
    """Loses count of what it has done."""

    def __call__(self, model: Model, concept: Any, *, progress: Any = None, **_: Any) -> Edit:
        for done in (2, 1) if progress else ():
            progress(done, 2)
        return super().__call__(model, concept)


@dataclass(frozen=True)
class Batched(Shrink):
    """Shrinks by what is to be a matter of memory."""

    batch_size: int = 4

    def __call__(self, model: Model, concept: Any, **_: Any) -> Edit:
        edit = super().__call__(model, concept)
        return Edit({NAME: self.batch_size * edit.deltas[NAME]}, edit.provenance)


FAULTS: list[tuple[type[Shrink], str]] = [
    (Meddling, "making_it_leaves_the_model_and_the_random_states_alone"),
    (Drawing, "making_it_leaves_the_model_and_the_random_states_alone"),
    (Drawing, "the_same_call_makes_the_same_change"),
    (Idle, "it_goes_on_and_off"),
    (Idle, "only_what_is_promised_changes"),
    (Idle, "half_precision_bases"),
    (Batched, "its_own_batch_size_changes_nothing"),
    (Silent, "its_provenance_makes_it_again"),
    (Silent, "it_stacks"),
    (Silent, "another_model_is_refused"),
    (Sprawling, "only_what_is_promised_changes"),
    (Careless, "several_concepts_are_one_change"),
    (Careless, "no_concept_and_an_unknown_one_are_refused"),
    (Careless, "an_empty_selection_is_refused"),
    (Vague, "an_empty_selection_is_refused"),
    (Careless, "nan_in_the_base_is_found"),
    (Hasty, "the_same_call_makes_the_same_change"),
]


@pytest.mark.parametrize(("method", "promise"), FAULTS, ids=lambda each: getattr(each, "__name__", each))
def test_a_fault_is_found(method: type[Shrink], promise: str, tmp_path: Path) -> None:
    contract = TestShrink()
    contract.method = method  # type: ignore[method-assign]
    model = Model(tiny_sd1(), "sd1")
    given = {"model": model, "tmp_path": tmp_path, "dtype": torch.float16, "made": None}
    test = getattr(contract, f"test_{promise}")
    torch.manual_seed(99)  # whatever tests before it leave the random states at
    asked = inspect.signature(test).parameters
    if "made" in asked:
        given["made"] = make(method(), model, contract.concept)
    with pytest.raises((AssertionError, pytest.fail.Exception, BadArgument)):
        test(**{name: given[name] for name in asked})


def test_every_method_that_erases_is_under_contract() -> None:
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    modules = [importlib.import_module(f"contract.{file.stem}") for file in files]
    contracts = [each for module in modules for name, each in vars(module).items() if name.startswith("Test")]
    tested = {type(contract().method()) for contract in contracts if issubclass(contract, MethodContract)}
    assert {each.load() for each in plugins(METHODS).values()} <= tested
