"""The tests' own checker: what it lets through would be checked nowhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checking import checked
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from turpentine.core.hashing import digest_bytes
from turpentine.models.windows import Window
from turpentine.stats.set_distances import fid


def test_a_type_that_is_none_of_a_functions_is_an_error() -> None:
    with pytest.raises(TypeCheckError):
        digest_bytes("text")  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError):
        Window("0", 1.0)  # type: ignore[arg-type]
    assert Window(0, 1) == Window(0.0, 1.0), "an int is a float"


def test_a_shape_under_a_name_of_its_own_is_checked() -> None:
    with pytest.raises(TypeCheckError):
        fid(np.zeros(3), np.zeros((2, 3)))


def test_the_shapes_of_all_arguments_are_held_together() -> None:
    def added(a: Float[Tensor, "row 1"], b: Float[Tensor, "row 1"]) -> Float[Tensor, "row 1"]:
        return a + b

    assert checked(added)(torch.ones(2, 1), torch.ones(2, 1)).tolist() == [[2], [2]]
    with pytest.raises(TypeCheckError):
        checked(added)(torch.ones(2, 1), torch.ones(1, 1))


def test_a_hint_for_mypy_alone_hides_none_of_the_others() -> None:
    def named(text: str, other: Unknown, *, times: int = 1) -> str:  # type: ignore[name-defined]  # noqa: F821
        return text * times if other else other

    named.__qualname__ = "named"  # what is made inside of another function is checked for its shapes alone
    assert checked(named)("ab", object(), times=2) == "abab"
    for given, times in ((3, 1), ("ab", "2")):
        with pytest.raises(TypeCheckError):
            checked(named)(given, object(), times=times)
    with pytest.raises(TypeCheckError):
        checked(named)("ab", None)
