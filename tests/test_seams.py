"""Families end at `models/`: nothing above knows how one architecture is built."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "turpentine"

WORDS = re.compile(
    r"unet|(?<!self)attn|tokenizer|alphas_cumprod|text_encoder|encoder_hidden_states|time_proj|(up|down|mid)_block"
)
"""What only a family knows: its networks, the names of their parts, and those of their arguments."""

ALLOWED = {
    "models/": "where families end",
    "emoji/": "the recipe by which the embedded model is built and trained",
    "edits/formats/": "files of other programs, which are about such names",
    "judges/hub_network.py": "networks of the judges, which are of no family",
    "judges/towers.py": "networks of the judges, which are of no family",
    "testing/language_toys.py": "builds tiny pipelines of some families",
    "testing/mistral_toy.py": "builds the tiny pipeline of one of them",
    "testing/toy_parts.py": "builds parts of them",
    "testing/toys.py": "builds a tiny pipeline of each family",
}

NUMBERS = {77: "token length", 512: "picture size", 768: "picture size or width of states", 1024: "picture size"}
METHODS = ("erase/", "explain/", "attribution/")
ALLOWED_DEVICES = {"erase/_training/training.py": "the kinds of device that have a fused Adam"}


def sources(*rooms: str) -> list[str]:
    paths = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))
    return [path for path in paths if not rooms or path.startswith(rooms)]


def literals(tree: ast.Module) -> Iterator[tuple[int, object]]:
    """All names, and all constants but docstrings and other texts that stand alone, by line."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            yield node.lineno, node.value
        for field in ("id", "attr", "arg", "name", "module", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield getattr(node, "lineno", 0), value


def read(path: str) -> list[tuple[int, object]]:
    return list(literals(ast.parse((SOURCE / path).read_text(encoding="utf-8"))))


def names_of_families(path: str) -> list[str]:
    return [f"{path}:{line}: {text!r}" for line, text in read(path) if isinstance(text, str) and WORDS.search(text)]


def test_nothing_above_models_names_a_part_of_an_architecture() -> None:
    """Docstrings and comments may: they are prose."""
    above = [path for path in sources() if not path.startswith(tuple(ALLOWED))]
    assert len(above) > 100
    assert [hit for path in above for hit in names_of_families(path)] == []


@pytest.mark.parametrize("room", ALLOWED)
def test_what_is_allowed_is_needed(room: str) -> None:
    assert any(names_of_families(path) for path in sources(room)), f"{room} needs no exception: take it off the list"


def test_methods_hold_no_number_of_a_family_and_no_device() -> None:
    for path in sources(*METHODS):
        constants = [(line, value) for line, value in read(path) if isinstance(value, int | str)]
        held = [f"{path}:{line}: {value}, a {NUMBERS[value]}" for line, value in constants if value in NUMBERS]
        assert held == []
        devices = [f"{path}:{line}" for line, value in constants if isinstance(value, str) and "cuda" in value]
        assert bool(devices) == (path in ALLOWED_DEVICES), devices


def test_a_name_in_code_is_found_and_one_in_prose_is_not() -> None:
    tree = ast.parse('"""A unet."""\ndef f(x):\n    """Of attn2."""\n    return x.unet(f"{x}.attn2.to_k", size=77)\n')
    texts = [value for _, value in literals(tree)]
    assert [text for text in texts if isinstance(text, str) and WORDS.search(text)] == ["unet", ".attn2.to_k"]
    assert 77 in texts
