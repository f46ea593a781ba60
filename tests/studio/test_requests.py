"""What windows ask, and the fragments that they get; recipes that do the same."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from studio.desk import pushed, small_model, studio_on
from tiny import tiny_sd1

import turpentine as tp
from turpentine.cli.app import build
from turpentine.models import Model
from turpentine.studio import requests
from turpentine.studio.panels import REGIONS, page, region
from turpentine.studio.recipes import recipe
from turpentine.studio.session import PANELS, Session


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def session(model: Model, tmp_path: Path) -> Session:
    return studio_on(model, tmp_path / "studio")


def act(session: Session, **request: Any) -> dict[str, Any]:
    return requests.act(session, request)


def test_a_window_gets_what_it_does_not_have_yet(session: Session) -> None:
    first = act(session, do="draw")
    assert set(first["regions"]) == set(REGIONS) and first["error"] == "" and first["job"] is None
    digests = {name: part["digest"] for name, part in first["regions"].items()}
    assert act(session, do="draw", digests=digests)["regions"] == {}
    new = act(session, do="change", fields={"concept": "dog"}, digests=digests)["regions"]
    assert "erase" in new and "columns" not in new and "stack" not in new


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "cannot 'None'"),
        ({"do": "shout"}, "cannot 'shout'"),
        ({"do": "change", "fields": {"seed": "x"}}, "The seed 'x' cannot be"),
        ({"do": "change", "fields": {"layers": []}}, "no field 'layers'"),
        ({"do": "change", "fields": None}, "The fields 'None' cannot be"),
        ({"do": "add", "path": "nowhere"}, "There is no edit at nowhere"),
        ({"do": "add"}, "The path 'None' cannot be"),
        ({"do": "scale", "layer": "0123456789ab", "scale": 1}, "not on the stack any more"),
        ({"do": "take off", "layer": "0123456789ab"}, "not on the stack any more"),
        ({"do": "save", "name": "x"}, "nothing on the stack to save"),
        ({"do": "guide", "method": "uce", "concept": "dog"}, "makes no guidance"),
    ],
)
def test_bad_input_is_a_sentence_and_changes_nothing(request_: dict[str, Any], says: str, session: Session) -> None:
    before = session.state
    answer = requests.act(session, request_)
    assert says in answer["error"] and "\n" not in answer["error"] and session.state == before


def test_text_from_outside_is_text_on_the_page(session: Session) -> None:
    evil = '"><script>alert(1)</script>'
    for fields in ({"prompt": evil}, {"concept": evil}, {"audit": evil}):
        assert act(session, do="change", fields=fields)["error"] == ""
    whole = page(session) + "".join(region(session, name, session.draw()) for name in REGIONS)
    assert "<script>alert" not in whole and html.escape(evil, quote=True).replace("&#x27;", "&#39;") in whole.replace(
        "&#34;", "&quot;"
    )
    assert "http://" not in whole.replace("http://www.w3.org", "") and "https://" not in whole


def test_every_fragment_is_made_before_and_after_its_work(session: Session, model: Model) -> None:
    session.put_on(pushed(model))
    for name in PANELS:
        assert f'data-work="{name}"' in region(session, name)
        session.work(name)
        text = region(session, name)
        assert "None" not in text and "data:image/" in text and "other settings" not in text
    session.change(seed=9)
    assert all("other settings" in region(session, name) for name in PANELS)


@pytest.mark.parametrize("panel", ["draw", *PANELS, "verdict"])
def test_each_command_is_one_that_the_command_line_takes_and_each_program_is_python(
    panel: str, session: Session, model: Model
) -> None:
    import shlex

    session.put_on(pushed(model))
    session.change(prompt="-- a 'church'", sites=("UP1",), method="esd-x")
    made = recipe(session, panel)
    compile(made.python, panel, "exec")
    program, *tokens = shlex.split(made.command)
    assert program == "turpentine"
    build(tokens).parse_args(tokens, exit_on_error=False, print_error=False)


def test_the_program_draws_the_pictures_of_the_page(tmp_path: Path) -> None:
    pipeline = tiny_sd1()
    pipeline.unet.register_to_config(sample_size=4)
    pipeline.save_pretrained(tmp_path / "model")
    session = studio_on(
        tp.load(str(tmp_path / "model"), device="cpu"), tmp_path / "studio", source=str(tmp_path / "model")
    )
    session.put_on(pushed(session.model), 0.5)
    session.guide("negative-prompt", "dog")
    session.draw()
    names: dict[str, Any] = {}
    exec(recipe(session, "draw").python, names)
    with session.victim().on() as model:
        edited = session._picture(model, session.state)
    for mine, theirs in ((session._picture(session.model, session.state), "original"), (edited, "edited")):
        (image,) = names[theirs]
        assert isinstance(image, Image.Image) and image.tobytes() == mine.tobytes()
