"""The contract of an editing method as a pytest class: subclass it, say how the method is made, and run pytest."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from turpentine.concepts import Concept
from turpentine.core.errors import EmptyConcept, EmptySelection, NotFinite, WrongBase
from turpentine.core.random_state import random_states
from turpentine.edits import Change, Edit, Provenance, guidances_of, load_change, stack_of
from turpentine.models import Model
from turpentine.testing.state import digests, weights_hash
from turpentine.testing.toys import TOYS, toy

UNSPEAKABLE = "教会"
"""A word that the toys have no token for."""


@dataclasses.dataclass(frozen=True)
class MethodResult:
    """The change that a method returned, made once for many tests, and its side effects.

    Args:
        change: The change.
        touched: What the call changed in the model or in the global random states, by name.
    """

    change: Change
    touched: tuple[str, ...]


def make(method: Any, model: Model, concept: Concept) -> MethodResult:
    """Return the method's change of a concept, and the names of what computing it altered."""
    before, states = digests(model), random_states()
    change = method(model, concept)
    touched = [name for name, digest in digests(model).items() if digest != before[name]]
    touched += [name for name, state in random_states().items() if state != states[name]]
    return MethodResult(change, (*touched, *_left_on(model)))


class MethodContract:
    """Tests of what `turpentine` promises of every method that edits a model, on a toy of each family.

    Attributes:
        families: The toys that the method runs on, by name.
        concept: What is erased, in words that the toys' tokenizer has.
        another: Another concept, likewise.
        batch_is_memory: Whether a setting `batch_size` changes the memory and no result.
        part: A strength beside 1 that its changes can have.

    Example:
        class TestRubbing(MethodContract):
            def method(self) -> Rubbing:
                return Rubbing(passes=1)
    """

    families: ClassVar[Collection[str]] = tuple(TOYS)
    concept: ClassVar[Concept] = Concept("church")
    another: ClassVar[Concept] = Concept("dog")
    batch_is_memory: ClassVar[bool] = True
    part: ClassVar[float] = 0.5

    def method(self) -> Any:
        """Return the method under test, with settings that are quick on a toy."""
        raise NotImplementedError("Give the method under test, with settings that are quick on a toy.")

    def promised(self, model: Model) -> Collection[str] | None:
        """Return the names of all weights that the method may change on this model; None for no check."""
        return None

    def picture(self, model: Model) -> Any:
        """Return what the method changes of "a church": latents, which show more than the eight bits of a picture."""
        return _latents(model)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run what takes a model on each of the families."""
        if "model" in metafunc.fixturenames:
            metafunc.parametrize("model", self.families, indirect=True)

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest) -> Model:
        """Return a toy of each family, shared by the tests of the class: each must leave it as it was."""
        return _toy(request.cls, request.param)

    @pytest.fixture
    def result(self, request: pytest.FixtureRequest, model: Model) -> MethodResult:
        """Return the method's change of a concept, computed once for each toy."""
        return _result(request.cls, model.name)

    def test_making_it_leaves_the_model_and_the_random_states_alone(self, result: MethodResult) -> None:
        """No weight, no change that stays on, no draw from Python's, NumPy's or torch's global generators."""
        assert result.touched == (), f"making the change touched {result.touched}"

    def test_strength_0_is_the_identity(self, model: Model, result: MethodResult) -> None:
        """Bit by bit, in the weights and in a picture."""
        weights, picture = weights_hash(model), self.picture(model)
        with result.change.scaled(0).on(model):
            assert weights_hash(model) == weights, "a weight changed"
            assert (self.picture(model) == picture).all(), "a picture changed"

    def test_it_goes_on_and_off(self, model: Model, result: MethodResult) -> None:
        """On, it changes pictures; off, also after an error, every bit is as before."""
        weights, picture = weights_hash(model), self.picture(model)
        with result.change.on(model):
            assert (self.picture(model) != picture).any(), "it changes no picture"
        with pytest.raises(RuntimeError, match="half-way"), result.change.on(model):
            raise RuntimeError("half-way")
        assert weights_hash(model) == weights, "a weight is not as before"
        assert (self.picture(model) == picture).all(), "a picture is not as before"
        assert _left_on(model) == (), "something is still on the model"

    def test_a_file_holds_all_of_it(self, result: MethodResult, tmp_path: Path) -> None:
        """Strength and provenance too."""
        half = result.change.scaled(self.part)
        half.save(tmp_path / "change")
        again = load_change(tmp_path / "change")
        assert again == half and again.strength == half.strength
        assert again.provenance == half.provenance

    def test_the_same_call_makes_the_same_change(self, model: Model, result: MethodResult, tmp_path: Path) -> None:
        """Whatever the global random states are; a progress function and a checkpoint change nothing."""
        reports: list[tuple[int, int]] = []
        _disturb()
        again = self.method()(
            model,
            self.concept,
            progress=lambda done, total: reports.append((done, total)),
            checkpoint=tmp_path / "checkpoint",
        )
        assert again == result.change
        assert len({total for _, total in reports}) <= 1, "progress changes its mind about the whole"
        assert reports == sorted(reports), "progress goes backwards"
        assert not reports or reports[-1][0] == reports[-1][1], f"progress ends at {reports[-1]}"

    def test_its_own_batch_size_changes_nothing(self, model: Model, result: MethodResult) -> None:
        """Up to what floating point does: a hundredth of the zeroed positions, and of the change's norm."""
        method = self.method()
        if not hasattr(method, "batch_size") or not self.batch_is_memory:
            pytest.skip("the method has no batch size that is a matter of memory")
        change = dataclasses.replace(method, batch_size=1 if method.batch_size > 1 else 2)(model, self.concept)
        assert isinstance(change, Edit) and isinstance(result.change, Edit), "it changes no weight"
        with change.on(model):
            other = {name: model.parameter(name).detach().clone() for name in change.names}
        assert set(other) == set(result.change.names), "other weights changed"
        with result.change.on(model):
            apart = sum(float((model.parameter(name) - weight).norm() ** 2) for name, weight in other.items())
        moved = sum(float((model.parameter(name) - weight).norm() ** 2) for name, weight in other.items())
        assert apart <= 1e-2 * moved, "another batch size makes another change"

    def test_its_provenance_makes_it_again(self, model: Model, result: MethodResult) -> None:
        """It says which method, with which settings, of what, for what."""
        provenance, method = result.change.provenance, type(self.method())
        assert provenance.method == method.__name__
        assert provenance.revision == getattr(method, "revision", ""), "the revision of its code is not recorded"
        assert provenance.base == model.fingerprint and provenance.model == model.name
        assert provenance.concepts == (self.concept,)
        fields = {field.name for field in dataclasses.fields(method)}
        assert provenance.settings.keys() == fields, "a setting is not recorded, or what is recorded is none"
        assert method(**provenance.settings)(model, provenance.concepts) == result.change

    def test_its_provenance_makes_it_again_of_a_selection(self, model: Model, result: MethodResult) -> None:
        """A selection of sites, and its window where the method has one, are recorded as what they select."""
        method = self.method()
        if not hasattr(method, "sites") or not isinstance(result.change, Edit):
            pytest.skip("the method has no sites to choose")
        layers = {name.rpartition(".")[0] for name in result.change.names}
        sites = model.sites.only(level="layer").named(sorted(layers)[:3])
        if hasattr(method, "window"):
            sites = sites.during(0.0, 0.5)
        change = dataclasses.replace(method, sites=sites)(model, self.concept)
        settings = change.provenance.settings
        assert type(method)(**settings)(model, self.concept) == change
        assert settings["sites"] == tuple(site.name for site in sites), "the sites are not recorded"

    def test_only_what_is_promised_changes(self, model: Model, result: MethodResult) -> None:
        """What is on the list is what differs."""
        names = set(result.change.names) if isinstance(result.change, Edit) else set()
        promised = self.promised(model)
        assert promised is None or names <= set(promised), f"{sorted(names - set(promised))} was not promised"
        before = digests(model)
        with result.change.on(model):
            changed = {name for name, digest in digests(model).items() if digest != before[name]}
        assert changed <= names, f"{sorted(changed - names)} changed and is not in the edit"
        assert changed or not names, "no weight changed"

    def test_a_picture_does_not_depend_on_its_batch(self, model: Model, result: MethodResult) -> None:
        """Up to what floating point does: two levels of 255."""
        prompts = ["a church", "a dog", "a church and a dog"]
        with result.change.on(model):
            together, apart = (_pixels(model, prompts, batch_size=size) for size in (3, 1))
        assert np.abs(together - apart).max() <= 2

    def test_it_stacks(self, model: Model, result: MethodResult) -> None:
        """Made over another edit it says so; and whichever comes off first, the base is left."""
        weights, other = weights_hash(model), _other(model)
        with other.on(model):
            over = self.method()(model, self.concept)
            assert over.provenance.onto == (other.id,)
            over.apply(model)
            result.change.scaled(self.part).apply(model)
        over.remove(model)
        result.change.scaled(self.part).remove(model)
        assert weights_hash(model) == weights
        assert _left_on(model) == ()

    def test_several_concepts_are_one_change(self, model: Model, result: MethodResult) -> None:
        """A list of concepts is taken as well as one."""
        both = (self.concept, self.another)
        change = self.method()(model, list(both))
        assert change.provenance.concepts == both
        assert change != result.change

    def test_another_model_is_refused(self, model: Model, result: MethodResult) -> None:
        """And is left as it was."""
        contract: Any = type(self)
        stranger = _toy(contract, next(name for name in TOYS if name != model.name))
        weights = weights_hash(stranger)
        with pytest.raises(WrongBase):
            result.change.apply(stranger)
        assert weights_hash(stranger) == weights and _left_on(stranger) == ()

    def test_no_concept_and_an_unknown_one_are_refused(self, model: Model) -> None:
        """An empty list, and a text that no token stands for; some vocabularies have one for every byte."""
        with pytest.raises(EmptyConcept):
            self.method()(model, ())
        try:
            model.text.find(UNSPEAKABLE, UNSPEAKABLE)
        except EmptyConcept:
            with pytest.raises(EmptyConcept):
                self.method()(model, Concept(UNSPEAKABLE))

    def test_an_empty_selection_is_refused(self, model: Model) -> None:
        """For methods with a setting `sites`."""
        method = self.method()
        if not hasattr(method, "sites"):
            pytest.skip("the method has no sites to choose")
        with pytest.raises(EmptySelection):
            dataclasses.replace(method, sites=model.sites - model.sites)(model, self.concept)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
    def test_half_precision_bases(self, dtype: torch.dtype) -> None:
        """An edit is made, is finite, changes pictures, and comes off exactly."""
        model = toy(next(iter(self.families)))
        model.pipeline.to(dtype=dtype)
        weights, picture = weights_hash(model), self.picture(model)
        change = self.method()(model, self.concept)
        with change.on(model):
            assert (self.picture(model) != picture).any(), "it changes no picture"
        assert weights_hash(model) == weights

    def test_nan_in_the_base_is_found(self) -> None:
        """In a weight that the method changes; in one sentence."""
        model = toy(next(iter(self.families)))
        change = self.method()(model, self.concept)
        if not isinstance(change, Edit):
            pytest.skip("the method changes no weight")
        with torch.no_grad():
            model.parameter(change.names[0]).view(-1)[0] = torch.nan
        with pytest.raises(NotFinite, match=r"^[^\n]+$"):
            self.method()(model, self.concept)


@cache
def _toy(contract: Any, family: str) -> Model:
    return toy(family)


@cache
def _result(contract: Any, family: str) -> MethodResult:
    return make(contract().method(), _toy(contract, family), contract.concept)


def _pixels(model: Model, prompts: list[str], *, batch_size: int) -> Any:
    images = model.generate(prompts, seeds=list(range(len(prompts))), steps=2, batch_size=batch_size)
    return np.stack([np.asarray(image) for image in images]).astype(int)


def _latents(model: Model) -> Any:
    """Return latents, which show more than the eight bits of a picture do."""
    from turpentine.models import sample

    cond, uncond, noise = model.encode(["a church"]), model.encode([""]), model.noise([0])
    *_, last = sample(model, cond, uncond, noise, steps=2, guidance_scale=4.0)
    return last.x_next.numpy()


def _other(model: Model) -> Edit:
    name = model.sites.only(kind="input", level="layer").parameters()[0]
    return Edit({name: 0.25 * model.parameter(name).detach()}, Provenance(base=model.fingerprint))


def _left_on(model: Model) -> tuple[str, ...]:
    return tuple(repr(change) for change in (*stack_of(model), *guidances_of(model)))


def _disturb() -> None:
    """Put the global random states elsewhere, wherever they are: also if another test has just disturbed them."""
    seed = int(torch.randint(2**31, ()))
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
