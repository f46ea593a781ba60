from __future__ import annotations

import math

import pytest

from turpentine.bench.yaml_lines import put, read_value, read_yaml
from turpentine.core.errors import BadArgument

TEXT = """\
title: Toys
drawing:
  steps: 3

methods:
  - esd-x
  - esd-u:
      lr: 0.1
"""
# Each line names the one before it eight times: a few hundred letters for eight million values.
BOMB = "a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 8))


def test_each_value_knows_its_line() -> None:
    document = read_yaml(TEXT, "toys.yaml")
    lines = {("title",): 1, ("drawing", "steps"): 3, ("methods",): 5, ("methods", 0): 6}
    lines[("methods", 1, "esd-u", "lr")] = 8
    assert {path: document.place(path) for path in lines} == {
        path: f"toys.yaml, line {line}" for path, line in lines.items()
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("-7", -7),
        ("1e-5", 1e-5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        *((word, word) for word in ("on", "off", "yes", "no", "y", "n", "On", "=")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ('"010"', "010"),
    ],
)
def test_a_value_is_what_is_written(text: str, value: object) -> None:
    read = read_value(text)
    assert read == value and type(read) is type(value)
    assert read_yaml(f"a: {text}", "a.yaml").value == {"a": value}


def test_what_is_not_there_has_the_place_of_what_it_would_be_in() -> None:
    document = read_yaml(TEXT, "toys.yaml")
    assert document.place(("methods", 0, "eta")) == "toys.yaml, line 6"
    assert document.place(("colour",)) == "toys.yaml, line 1"
    assert read_yaml("", "empty.yaml").place(("colour",)) == "empty.yaml"


def test_a_value_can_be_put_in_the_place_of_another_one_and_says_so() -> None:
    document = read_yaml(TEXT, "toys.yaml")
    for key, text in {"drawing.steps": "7", "methods.1": "[uce]", "judges.emoji.strict": "true"}.items():
        put(document, key, read_value(text))
    assert document.value == {
        "title": "Toys",
        "drawing": {"steps": 7},
        "methods": ["esd-x", ["uce"]],
        "judges": {"emoji": {"strict": True}},
    }
    assert document.place(("drawing", "steps")) == "--set drawing.steps"
    assert document.place(("methods", 1, "esd-u", "lr")) == "--set methods.1"
    assert document.place(("methods", 0)) == "toys.yaml, line 6"


@pytest.mark.parametrize("key", ["title.steps", "methods.7", "methods.esd", "drawing..steps", ""])
def test_a_value_that_fits_nowhere_is_refused(key: str) -> None:
    with pytest.raises(BadArgument, match="--set"):
        put(read_yaml(TEXT, "toys.yaml"), key, 1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a: [1, 2", "line 1"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands there twice"),
        ("a: !!python/object/apply:os.system [true]", "line 1"),
        ("a: \x00", "no YAML file"),
        ("? [1]\n: 2", "line 1"),
        ("a: &a [*a]", "values"),
        ("a: 1\n---\nb: 2", "no YAML file"),
        (BOMB, "values"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_before_it_fills_the_memory(text: str, named: str) -> None:
    with pytest.raises(BadArgument, match=r"toys\.yaml") as caught:
        read_yaml(text, "toys.yaml")
    assert named in str(caught.value)
