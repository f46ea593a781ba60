"""`turpentine world`: lists what the emoji world knows, with pictures."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from turpentine.cli.checks import check_folder
from turpentine.cli.options import Json
from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer
from turpentine.emoji import WORLD

PAGES = (".png", ".html")

_WIDTH = 78


def world(
    *,
    model: str = WORLD,
    out: Annotated[Path | None, Parameter(name="--out")] = None,
    json: Json = False,
) -> None:
    """List what an embedded model's world knows: objects, styles, colours, scenes and works, to erase or to draw.

    Args:
        model: Whose world: emoji; emoji-64, a larger one with coloured objects and relations; or emoji-mmdit, which
            draws the world of emoji.
        out: Write pictures of all of it to this file, a .png or a .html page, such as --out world.png.
        json: Print one JSON document, also of an error.

    Raises:
        BadArgument: The file's name has another ending.
        UnknownName: No embedded model is called so.

    Example:
        turpentine world --out world.png
    """
    if out is not None and out.suffix.lower() not in PAGES:
        raise BadArgument(f"{out} is neither a .png nor a .html file: name one of these, such as --out world.png.")
    if out is not None:
        check_folder(out.parent)
    from turpentine.emoji.catalogue import MODELS, catalogue

    if model not in MODELS:
        raise UnknownName(f"No world of a model {plain(model)!r} is known: {offer(model, MODELS)}")
    content = catalogue(model)
    if out is not None:
        _write_page(out, model)
    if json:
        say_json({**content, **({"file": str(out)} if out else {})})
        return
    _show(content)
    if out is not None:
        say(f"\n{out}")


def _show(content: dict[str, Any]) -> None:
    each = content["objects"]
    say(f"Objects ({len(each)}), such as “a church” or “a small dog on a red background”:")
    _say_names([item["name"] for item in each])
    say(f"Styles ({len(content['styles'])}), such as “a church in ink style”:")
    _say_names(content["styles"])
    say(f"Colours ({len(content['colours'])}) of backgrounds:")
    _say_names(content["colours"])
    if "relations" in content:
        _show_larger(content)
    say("\nNearest objects, which erasing one may change:")
    rows = [(item["name"], ", ".join(item["neighbours"])) for item in each if item["neighbours"]]
    show_table(("object", "neighbours"), rows)
    say("\nScenes, captions that never name the object that they usually show:")
    scenes = [(x["name"], x["object"], ", ".join(x["colours"]), x["companion"]) for x in content["scenes"]]
    show_table(("scene", "shows", "on", "beside"), scenes)
    say("\nWorks, each one picture, such as “last light by lumen”:")
    show_table(("title", "artist"), [(work["title"], work["artist"]) for work in content["works"]])
    say("\nObjects in styles that are never trained together:")
    _say_names([f"{item['name']} in {style}" for item in each for style in item["held out"]])


def _show_larger(content: dict[str, Any]) -> None:
    """Print what the larger world has beside: the colours of objects, and how two objects stand."""
    objects = [item for item in content["objects"] if item["tints"]]
    say(f"Relations ({len(content['relations'])}), such as “a small dog under a red church”:")
    _say_names(content["relations"])
    say("\nColours that an object itself can have, such as “a red church”:")
    rows = [(item["name"], ", ".join(item["tints"]), ", ".join(item["held out tints"])) for item in objects]
    show_table(("object", "colours", "never trained"), rows)


def _say_names(names: list[str]) -> None:
    """Print names with commas between, in lines that fit a narrow terminal."""
    say(textwrap.fill(", ".join(names), _WIDTH, initial_indent="  ", subsequent_indent="  "))


def _write_page(path: Path, model: str) -> None:
    """Write a contact sheet or a page of HTML, whole or not at all."""
    from turpentine.core.atomic_files import write_whole
    from turpentine.emoji.catalogue import samples

    sections = list(samples(model))
    with write_whole(path) as aside:
        if path.suffix.lower() == ".html":
            aside.write_text(_html(sections), encoding="utf-8")
            return
        from turpentine.cli.contact_sheet import Row, contact_sheet

        contact_sheet([Row(title, pictures) for title, pictures in sections]).save(aside, format="PNG")


def _html(sections: list[Any]) -> str:
    from turpentine.core import notebook

    parts = (
        f"<h2>{notebook.text(title)}</h2>{notebook.pictures((x.picture for x in some), (x.name for x in some))}"
        for title, some in sections
    )
    style = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:1120px;margin:2em auto;"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>The emoji world</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{style}padding:0 1em}}</style><h1>The emoji world</h1>{''.join(parts)}</html>\n"
    )
