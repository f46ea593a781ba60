from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, get_type_hints

from turpentine.cli.help_text import descriptions, summary, with_help

DOC = """Do a thing to a model.

    It takes a while: be patient.

        an_example(of: code)

    Args:
        steps: Updates, 1 or more.
        lr: Learning rate of Adam,
            which is small.
        low: The window's beginning.
        high: η, the window's end.

    Raises:
        BadArgument: For a bad one.

    Example:
        steps: this is none
    """


def test_the_summary_ends_where_arguments_begin() -> None:
    assert summary(DOC) == "Do a thing to a model.\n\nIt takes a while: be patient."


def test_each_name_has_its_own_text() -> None:
    assert descriptions(DOC, ["steps", "lr", "low", "high"]) == {
        "steps": "Updates, 1 or more.",
        "lr": "Learning rate of Adam, which is small.",
        "low": "The window's beginning.",
        "high": "η, the window's end.",
    }


def test_a_word_that_is_no_argument_starts_no_description() -> None:
    doc = "Do.\n\nArgs:\n    steps: How many, with\n        lr: tiny.\n    lr: Of Adam."
    assert descriptions(doc, ["steps"]) == {"steps": "How many, with lr: tiny."}


def test_only_the_section_of_arguments_is_read() -> None:
    assert descriptions("Do.\n\nsteps: how many.\n\nReturns:\n    steps: The same.", ["steps"]) == {}


def test_no_docstring_is_no_text() -> None:
    assert summary(None) == ""
    assert descriptions(None, ["steps"]) == {}


def test_help_is_put_beside_what_an_annotation_holds_already() -> None:
    @with_help
    @dataclass
    class Settings:
        """Some.

        Args:
            steps: Of the solver.
        """

        steps: Annotated[int, "kept"] = 1
        other: str = ""

    hints = get_type_hints(Settings, include_extras=True)
    kept, parameter = hints["steps"].__metadata__
    assert (kept, parameter.help) == ("kept", "Of the solver.")
    assert hints["other"] is str
