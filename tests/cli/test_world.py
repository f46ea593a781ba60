"""`turpentine world` lists everything that a caption can name, and shows it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from turpentine.cli.app import run
from turpentine.emoji.captions import RELATIONS
from turpentine.emoji.catalogue import catalogue, samples
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.world import (
    COLOURS,
    NEIGHBOURS,
    OBJECTS,
    SCENES,
    STYLES,
    TINTABLE,
    TINTS,
    WORKS,
    held_out_pairs,
    held_out_tints,
    sprites,
)


def test_the_catalogue_is_the_world() -> None:
    content = catalogue()
    assert json.loads(json.dumps(content)) == content
    assert [each["name"] for each in content["objects"]] == list(OBJECTS)
    pairs = {(each["name"], style) for each in content["objects"] for style in (*each["styles"], *each["held out"])}
    assert pairs == set(sprites())
    assert {(each["name"], style) for each in content["objects"] for style in each["held out"]} == held_out_pairs()
    assert {each["name"]: tuple(each["neighbours"]) for each in content["objects"] if each["neighbours"]} == NEIGHBOURS
    names = [each["name"] for kind in ("objects", "scenes") for each in content[kind]]
    names += [
        *content["styles"],
        *content["colours"],
        *content["artists"],
        *(each["caption"] for each in content["works"]),
    ]
    assert all(look_up(name) for name in names), "each is a word that a method takes"


def test_each_thing_has_a_picture_that_is_the_same_in_every_run() -> None:
    sections = dict(samples())
    assert [name for name, _ in sections["objects"]] == list(OBJECTS)
    assert [name for name, _ in sections["styles"]] == list(STYLES)
    assert [name for name, _ in sections["colours"]] == list(COLOURS)
    assert [name for name, _ in sections["scenes"]] == list(SCENES)
    assert [name for name, _ in sections["works"]] == [work.title for work in WORKS]
    assert len({image.tobytes() for _, image in sections["objects"]}) == len(OBJECTS)
    again = dict(samples())
    assert all(a.tobytes() == b.tobytes() for (_, a), (_, b) in zip(sections["scenes"], again["scenes"], strict=True))


def test_the_list_fits_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world"]) == 0
    out = capsys.readouterr().out
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())
    for name in (*OBJECTS, *STYLES, *COLOURS, *SCENES, *(work.title for work in WORKS)):
        assert name in out.replace("\n  ", " ")


def test_json_is_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == catalogue()


def test_the_larger_world_has_coloured_objects_and_relations_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world", "--model", "emoji-64", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content.pop("relations") == list(RELATIONS)
    seen, held_out = (
        {(item["name"], tint) for item in content["objects"] for tint in item.pop(key)}
        for key in ("tints", "held out tints")
    )
    assert content == catalogue()
    assert held_out == held_out_tints() and not seen & held_out
    assert seen | held_out == {(name, tint) for name in TINTABLE for tint in TINTS}
    assert run(["world", "--model", "emoji-64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert [line for line in lines if all(word in line for word in ("left of", "right of", "above", "under"))]
    church = next(line for line in lines if line.startswith("church") and "red" in line)
    assert {tint for tint in TINTS if tint in church} == set(TINTS)


def test_the_transformer_draws_the_smaller_world(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world", "--model", "emoji-mmdit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == catalogue()


def test_the_larger_worlds_pictures_show_colours_and_relations() -> None:
    smaller, larger = (
        {name: [each.name for each in some] for name, some in samples(model)} for model in ("emoji", "emoji-64")
    )
    assert {name: larger.pop(name) for name in smaller} == smaller
    assert [name.split()[0] for name in larger.pop("coloured objects")] == list(TINTS)
    assert all(relation in name for relation, name in zip(RELATIONS, larger.pop("relations"), strict=True))
    assert not larger


class Images(HTMLParser):
    sources = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += tag == "img" and str(dict(attrs)["src"]).startswith("data:image/png;base64,")


def test_pictures_are_written_as_a_sheet_or_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet, page = tmp_path / "world.png", tmp_path / "world.html"
    assert run(["world", "--out", str(sheet)]) == 0
    with Image.open(sheet) as image:
        assert image.width > 1000
    assert run(["world", "--out", str(page), "--json"]) == 0
    parser = Images()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.sources == sum(len(some) for _, some in samples())
    assert capsys.readouterr().out.endswith("}\n")


def test_another_ending_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["world", "--out", str(tmp_path / "world.pdf")]) == 2
    assert ".png" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written_is_refused_by_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["world", "--out", str(tmp_path / "file" / "world.png")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == f"{tmp_path / 'file'} is a file: choose another folder with --out.\n"
