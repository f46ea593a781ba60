"""`turpentine apply`: a model with edits baked in, for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from turpentine.cli.meter import busy
from turpentine.cli.options import Flat, Json, ModelChoice, load_edits
from turpentine.cli.terminal import plain, say, say_json


def apply(
    *edits: str,
    out: Path,
    source: Annotated[ModelChoice, Flat] = ModelChoice(),
    json: Json = False,
) -> None:
    """Write a model with edits baked in as a full diffusers folder, for use elsewhere.

    edits: files of edits, applied in this order; FILE:0.5 applies one at half strength.
    out: the folder to write; it must be new or empty.
    json: print one JSON document.
    """
    from turpentine.edits import save_pipeline
    from turpentine.errors import BadArgument

    if not edits:
        raise BadArgument("There is no edit to apply: give the file of one at least.")
    loaded = load_edits(edits)
    model = source.load()
    for edit in loaded:
        edit.apply(model)
    with busy(f"Writing {plain(str(out))}"):
        save_pipeline(model, out)
    if json:
        say_json({"folder": str(out), "edits": [edit.id for edit in loaded]})
    else:
        say(f"{plain(str(out))} holds {plain(model.name)} with {len(loaded)} edit{'s' * (len(loaded) > 1)} baked in.")
