"""Provenance: through JSON and back, and what it says in a line."""

from __future__ import annotations

import json

import pytest

from turpentine.concepts import Concept
from turpentine.edits import Provenance
from turpentine.edits.provenance import library_versions

FULL = Provenance(
    method="ESD",
    settings={"sites": ("UP2", "UP3"), "lr": 1e-5, "fresh": False},
    concepts=(Concept("church", keep=("dog",)), Concept("ink", "style", templates=("{} style",))),
    seed=3,
    base="ab" * 32,
    model="emoji",
    measurements={"objective": (0.5, 2.0), "shares": ((0.5, 0.5), (0.25, 0.75))},
    onto=("cd" * 32,),
)


@pytest.mark.parametrize("provenance", [Provenance(), FULL], ids=["by hand", "full"])
def test_json_holds_all_of_it(provenance: Provenance) -> None:
    assert Provenance.from_json(json.loads(json.dumps(provenance.to_json()))) == provenance


def test_the_title_names_the_variant() -> None:
    assert FULL.title == "ESD"
    assert Provenance("UCE", {"variant": "paper"}).title == "UCE (paper)"


def test_the_versions_are_those_that_run() -> None:
    import torch

    versions = library_versions()
    torch_version = versions["torch"]
    assert next(iter(versions)) == "turpentine"
    assert torch_version.split("+")[0] == torch.__version__.split("+")[0]  # metadata may not say "+cu130"
    versions["torch"] = "0"
    assert library_versions()["torch"] == torch_version, "a caller can change them for others"


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(TypeError):
        Provenance.from_json({**FULL.to_json(), "extra": 1})
    with pytest.raises(KeyError):
        Provenance.from_json({"method": "ESD"})
