"""Whatever signals come, and however many threads change a model, its weights are those of the edits that are on."""

from __future__ import annotations

import threading

import pytest
import torch
from edits.weights import NAMES, made_up, weights_hash
from interrupting import interruptions
from tiny import tiny_sd1
from torch import nn

from turpentine.concepts import Concept
from turpentine.edits import Edit, guidances_of, stack_of
from turpentine.erase.guidance import NegativePrompt
from turpentine.models import Model

FILES = ("core/signals.py", "/contextlib.py", "edits/edit.py", "edits/changing.py", "edits/guidance_change.py")


@pytest.fixture(scope="module")
def model() -> Model:
    """A toy without its ends, which draws nothing: it is looked through whole for each of some hundred Ctrl-Cs."""
    pipeline = tiny_sd1()
    pipeline.unet.down_blocks, pipeline.unet.up_blocks = nn.ModuleList(), nn.ModuleList()
    pipeline.vae.encoder, pipeline.vae.decoder = nn.Identity(), nn.Identity()
    return Model(pipeline)


def is_base(model: Model, base: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(model.parameter(name), weight) for name, weight in base.items())


def test_whenever_ctrl_c_comes_a_with_block_leaves_the_base(model: Model) -> None:
    edit = made_up(model, names=NAMES[:1])
    base = {name: model.parameter(name).detach().clone() for name in edit.names}
    stack_of(model)

    def work() -> None:
        with edit.on(model):
            pass

    for raised in interruptions(work, *FILES):
        assert raised and not len(stack_of(model)) and is_base(model, base)
        assert not stack_of(model)._base


def test_whenever_ctrl_c_comes_an_edit_is_off_or_on(model: Model) -> None:
    edit = made_up(model, names=NAMES[:1])
    base = {name: model.parameter(name).detach().clone() for name in edit.names}
    with edit.on(model):
        edited = {name: model.parameter(name).detach().clone() for name in edit.names}
    half, steps = edit.scaled(0.5), ("apply", "rescale", "remove")
    for step in steps:
        done: list[bool] = []

        def work(step: str = step, done: list[bool] = done) -> None:
            if step == "apply":
                edit.apply(model)
            elif step == "rescale":
                stack_of(model).rescale(edit, 0.5)
            else:
                edit.remove(model)

        if step != "apply":
            edit.apply(model)
        for raised in interruptions(work, *FILES):
            assert raised
            on = list(stack_of(model))
            assert on in ([], [edit], [half])
            done.append(on != ([] if step == "apply" else [edit]))
            if on != [half]:
                assert is_base(model, edited if on else base)
            for each in on:
                each.remove(model)
            assert is_base(model, base)
            if step != "apply":
                edit.apply(model)
        for each in stack_of(model):
            each.remove(model)
        assert {True, False} == set(done), f"{step}: it came before and after"


def test_whenever_ctrl_c_comes_a_guidance_is_off_at_the_end(model: Model) -> None:
    change = NegativePrompt()(model, Concept("church"))

    def work() -> None:
        with change.on(model):
            pass

    for raised in interruptions(work, *FILES):
        assert raised and guidances_of(model) == ()


def test_threads_that_put_edits_on_and_off_leave_the_base() -> None:
    model = Model(tiny_sd1())
    start = weights_hash(model)
    edits = [made_up(model, seed=seed) for seed in range(4)]
    guidances = [NegativePrompt()(model, Concept(text)) for text in ("church", "dog", "cat", "car")]
    model.edits = None
    gate, errors = threading.Barrier(4), []

    def work(edit: Edit, number: int) -> None:
        try:
            gate.wait()
            for _ in range(20):
                with edit.on(model), guidances[number].on(model):
                    pass
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(edit, number)) for number, edit in enumerate(edits)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and not len(stack_of(model)) and model.guidance is None
    assert weights_hash(model) == start
