"""`turpentine judge`: prints a judge's scores of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from turpentine.cli.options import REQUIRED, Json, check_judge_flag, judge_called
from turpentine.cli.picture_files import picture_files, prompt_in, read_picture
from turpentine.cli.terminal import number_cell, plain, say_json, show_table
from turpentine.core.errors import BadArgument

if TYPE_CHECKING:
    import polars as pl

    from turpentine.judges import Judge


def judge(
    *pictures: Annotated[Path, REQUIRED],
    by: str = "emoji",
    prompt: str | None = None,
    reference: Path | None = None,
    json: Json = False,
) -> None:
    """Say what a judge sees in pictures; that of the emoji world: object, style, background colour, and its certainty.

    Args:
        pictures: Files, or folders of them.
        by: The judge, such as emoji, classifier, nudenet or clip.
        prompt: What the pictures were asked for, where a judge needs to know; by default what is written in each file
            by turpentine generate.
        reference: A folder with pictures of the same names from the unedited model, where a judge needs them.
        json: Print one JSON document, also of an error.

    Example:
        turpentine judge pictures --by emoji
    """
    check_judge_flag(by)
    paths = picture_files(pictures)
    images = [read_picture(path) for path in paths]
    chosen = judge_called(by)
    _print_scores(paths, chosen(images, **_needed(chosen, paths, prompt, reference)), json)


def _needed(chosen: Judge, paths: Sequence[Path], prompt: str | None, reference: Path | None) -> dict[str, Any]:
    """Return the prompts and references that the judge needs."""
    needed: dict[str, Any] = {}
    if "prompt" in chosen.needs:
        needed["prompts"] = [prompt or _prompt_of(path) for path in paths]
    if "reference" in chosen.needs:
        if reference is None:
            raise BadArgument("This judge compares: give the folder of the unedited model's pictures by --reference.")
        needed["references"] = [read_picture(reference / path.name) for path in paths]
    return needed


def _prompt_of(path: Path) -> str:
    prompt = prompt_in(path)
    if prompt is None:
        raise BadArgument(f"{plain(str(path))} does not say what it was asked for: give it by --prompt.")
    return prompt


def _print_scores(paths: Sequence[Path], scores: pl.DataFrame, json: bool) -> None:
    """Print numbers and labels; bytes and vectors are for other numbers to be computed from."""
    import polars as pl

    columns = [name for name, kind in scores.schema.items() if not (kind == pl.Binary or kind.is_nested())]
    rows = scores.select(columns).to_dicts()
    if json:
        say_json([{"path": str(path), **row} for path, row in zip(paths, rows, strict=True)])
    else:
        cells = [[plain(path.name), *map(number_cell, row.values())] for path, row in zip(paths, rows, strict=True)]
        show_table(["picture", *columns], cells)
