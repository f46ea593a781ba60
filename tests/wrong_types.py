"""For a process of its own: give everything values of other types, and print what does not refuse them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin

from turpentine.concepts import Concept
from turpentine.core.errors import TurpentineError
from turpentine.core.plugins import find, plugins
from turpentine.core.settings import field_types

REQUIRED = {"zero-shot": {"labels": ("dog", "cat")}}

OURS = [name for name, each in plugins().items() if each.target.startswith("turpentine.") and name != "nudenet"]


def parts(hint: Any) -> Iterator[Any]:
    """The plain types that a field may be of, brackets and constraints apart."""
    if get_origin(hint) is Annotated:
        yield from parts(get_args(hint)[0])
    elif type(None) in get_args(hint) or str(get_origin(hint)).endswith(("Union'>", "UnionType'>")):
        for arg in get_args(hint):
            yield from parts(arg)
    else:
        yield get_origin(hint) or hint


def wrong_values(hint: Any) -> list[Any]:
    """Values that no field of this type may have."""
    of = set(parts(hint))
    wrong: list[Any] = [object()]
    if of & {int, float} and not of & {str, tuple}:
        wrong += ["3", True, [3]]
    if int in of and float not in of:
        wrong += [2.5, math.nan]
    if float in of:
        wrong += [math.nan, math.inf]
    if of <= {tuple, type(None)}:
        wrong += ["church", 3]
    if of <= {bool}:
        wrong += ["yes", 1]
    if of <= {str, type(None)}:
        wrong += [3, ("church",)]
    return wrong


def settings() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield a call for each field of each plug-in and each wrong value, and the words that its refusal must have."""
    for name in OURS:
        cls, rest = find(name).load(), REQUIRED.get(name, {})
        for field, hint in field_types(cls).items():
            if not {Any, object} & set(parts(hint)) and field != "classifier":
                for value in wrong_values(hint):
                    yield f"{name} {field}", field, lambda c=cls, given={**rest, field: value}: c(**given)


def concepts() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The same of concepts."""
    for given in (
        {"text": 3},
        {"text": None},
        {"text": "dog", "keep": 3},
        {"text": "dog", "keep": ("cat", 3)},
        {"text": "dog", "templates": 5},
        {"text": "dog", "templates": ("a {}", None)},
    ):
        yield f"Concept {given}", "text", lambda given=given: Concept(**given)


def generation(model: Any) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The same of the arguments of `Model.generate`."""
    for argument, value in (
        ("prompts", 3),
        ("prompts", ["a dog", None]),
        ("seeds", [0, 1.5]),
        ("seeds", "0"),
        ("seeds", None),
        ("seeds", True),
        ("steps", 2.5),
        ("steps", "2"),
        ("steps", True),
        ("guidance_scale", "4"),
        ("guidance_scale", [4.0]),
        ("negative_prompt", 3),
        ("negative_prompt", ["a", "b"]),
        ("batch_size", 1.5),
        ("size", 32.0),
        ("size", (32, 32, 32)),
        ("size", "32"),
    ):
        given = {"prompts": "a dog", "seeds": [0], "steps": 1, argument: value}
        yield f"generate {argument}={value!r}", argument, lambda given=given: model.generate(**given)


def places_of_a_model(model: Any) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """A pipeline, a network and a path in each place that takes a model."""
    import torch

    import turpentine as tp
    from turpentine.bench import Erasure, run_erasure
    from turpentine.models.identity import describe

    edit = tp.Edit({"unet.conv_in.bias": torch.ones(8)})
    calls: dict[str, Callable[[Any], Any]] = {
        "a method": lambda given: tp.erase.UCE()(given, "church"),
        "a method by name": lambda given: tp.erase.ESD()(model=given, concept="church"),
        "a guidance": lambda given: tp.erase.NegativePrompt()(given, "church"),
        "a preset": tp.erase.CAD.preset,
        "an instrument": lambda given: tp.explain.Maps()(given, "a church", 0),
        "an edit that is put on": edit.apply,
        "an edit that is taken off": edit.remove,
        "an attacked model": lambda given: tp.attack.Victim(given, (edit,)),
        "an identity": describe,
        "a run": lambda given: run_erasure(given, Erasure("church", tp.erase.UCE()), "no-folder"),
    }
    pipeline = model.pipeline
    for name, call in calls.items():
        yield name, "give turpentine.Model(pipeline).", lambda call=call: call(pipeline)
        yield name, "turpentine.Model(pipeline) of its pipeline", lambda call=call: call(pipeline.unet)
        if name != "a preset":  # which takes a model's name
            yield name, "load it first, turpentine.load('emoji')", lambda call=call: call("emoji")


def what_is_lenient(model: Any) -> Iterator[str]:
    """Yield what means one thing only, and is refused all the same or read otherwise."""
    import numpy as np

    seeds = (3, np.int64(3), range(3, 4), np.array([3]))
    if len({model.generate("a dog", seeds=each, steps=1)[0].tobytes() for each in seeds}) != 1:
        yield "seeds of NumPy"
    if model.generate("a dog", steps=1, negative_prompt=None)[0] != model.generate("a dog", steps=1)[0]:
        yield "no negative prompt, as diffusers writes it"
    if Concept("dog", keep="cat").keep != ("cat",) or Concept("dog", templates="my {}").prompts != ("my dog",):
        yield "one text is not its letters"
    if hash(Concept("dog", keep=["cat"])) != hash(Concept("dog", keep=("cat",))):
        yield "a list of texts"


def main() -> None:
    """Print what was not refused, and how many calls were tried, as JSON."""
    from turpentine.testing.toys import toy

    passed, tried, model = [], 0, toy("sd1")
    for each in (settings(), concepts(), generation(model), places_of_a_model(model)):
        for name, words, call in each:
            tried += 1
            try:
                call()
                passed.append(name)
            except TurpentineError as error:
                if words not in str(error):
                    passed.append(f"{name}: {error}")
            except Exception as error:  # a traceback is what a user must not see
                passed.append(f"{name}: {error!r}")
    print(json.dumps([[*passed, *what_is_lenient(model)], tried]))
